"""A trained network to export, and the comparison of an export with it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

import rarefy
from rarefy.pipeline import TrainedNetwork

Read = Callable[[Tensor], Tensor]


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> TrainedNetwork:
    """A small convolutional network with batch norms, trained a little."""
    out = tmp_path_factory.mktemp("runs")
    values = {"data": "digits", "model": "cifar_resnet_8_8", "density": 0.15, "engine": "masked", "device": "cpu"}
    config = rarefy.Config.from_values({**values, "training": {"epochs": 1, "batch_size": 64}})
    return rarefy.load_run(out / rarefy.run(config, out=out).id)


@pytest.fixture
def images() -> Tensor:
    return torch.from_numpy(np.random.default_rng(3).integers(0, 256, (7, 1, 8, 8), dtype=np.uint8))


@pytest.fixture
def compare(network: TrainedNetwork, images: Tensor) -> Callable[[Read], None]:
    """Compares with the network on one batch of all images, and on one of a single one."""

    def check(read: Read) -> None:
        for batch in (network.preprocess(images), network.preprocess(images[:1])):
            with torch.no_grad():
                torch.testing.assert_close(read(batch), network.model(batch), rtol=1e-4, atol=1e-4)

    return check
