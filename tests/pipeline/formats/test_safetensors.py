"""Dense safetensors, loaded into a network that was built without the run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

import rarefy
from rarefy.models import build, parse
from rarefy.pipeline import TrainedNetwork


def test_safetensors(network: TrainedNetwork, tmp_path: Path, compare: Callable) -> None:
    report = rarefy.export(network.folder, "safetensors", tmp_path / "dense.safetensors")
    assert report.difference == 0
    model = build(parse("cifar_resnet_8_8"), in_channels=1, size=(8, 8), generator=torch.Generator()).eval()
    model.load_state_dict(safetensors.torch.load_file(tmp_path / "dense.safetensors"))
    compare(model)


@pytest.mark.slow
def test_a_network_with_an_engine_installed_is_exported_densely(
    network: TrainedNetwork, images: Tensor, tmp_path: Path
) -> None:
    changed = rarefy.load_run(network.folder)
    rarefy.use_engine(changed.model, changed.sparsity, "cpu", inputs=changed.preprocess(images))
    rarefy.export(changed, "safetensors", tmp_path / "dense.safetensors")
    names = set(safetensors.torch.load_file(tmp_path / "dense.safetensors"))
    assert names == set(network.model.state_dict())
