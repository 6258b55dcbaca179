"""Shapes of known networks, from other people's models or written down, never from ours."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torchvision


def cifar_resnet_shapes(depth: int, width: int = 16, classes: int = 10) -> dict[str, tuple[int, ...]]:
    """The paper's 6n+2 network with 1x1 shortcuts, layer by layer."""
    shapes: dict[str, tuple[int, ...]] = {"conv.weight": (width, 3, 3, 3)}
    before = width
    for stage, out in enumerate((width, 2 * width, 4 * width)):
        for block in range((depth - 2) // 6):
            shapes[f"{stage}.{block}.conv1.weight"] = (out, before, 3, 3)
            shapes[f"{stage}.{block}.conv2.weight"] = (out, out, 3, 3)
            if before != out:
                shapes[f"{stage}.{block}.shortcut.weight"] = (out, before, 1, 1)
            before = out
    shapes["fc.weight"] = (classes, before)
    return shapes


def torchvision_shapes(name: str) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        model = torchvision.models.get_model(name)
    return {key: tuple(value.shape) for key, value in model.named_parameters() if value.ndim > 1}


@pytest.fixture(scope="session")
def cifar_resnet() -> Callable[..., dict[str, tuple[int, ...]]]:
    return cifar_resnet_shapes


@pytest.fixture(scope="session")
def resnet50() -> dict[str, tuple[int, ...]]:
    return torchvision_shapes("resnet50")


@pytest.fixture(scope="session")
def wide_resnet50() -> dict[str, tuple[int, ...]]:
    return torchvision_shapes("wide_resnet50_2")
