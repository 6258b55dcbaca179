"""Exported programs, loaded by torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import rarefy
from rarefy.pipeline import TrainedNetwork


def test_torch(network: TrainedNetwork, tmp_path: Path, compare: Callable) -> None:
    report = rarefy.export(network, "torch", tmp_path / "network.pt2")
    assert (report.difference, report.agreement) == (0, 1)
    compare(torch.export.load(tmp_path / "network.pt2").module())


@pytest.mark.slow
def test_torch_of_a_fixed_batch(network: TrainedNetwork, images: Tensor, tmp_path: Path) -> None:
    report = rarefy.export(network, "torch", tmp_path / "network.pt2", batch=7)
    assert report.difference == 0
    batch = network.preprocess(images)
    program = torch.export.load(tmp_path / "network.pt2").module()
    torch.testing.assert_close(program(batch), network.model(batch))
    with pytest.raises(AssertionError):
        program(batch[:2])
