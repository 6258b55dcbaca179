"""A small net and images, and a linear model whose worst case is known in closed form."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rarefy.data import Spec

SPEC = Spec("dots", classes=5, channels=3, height=4, width=4, mean=(0.5, 0.4, 0.3), std=(0.25, 0.3, 0.2))


def net_of(seed: int = 0) -> nn.Module:
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(16, 5)
    )
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return net


@pytest.fixture
def spec() -> Spec:
    return SPEC


@pytest.fixture
def net() -> nn.Module:
    return net_of()


@pytest.fixture
def images() -> Tensor:
    return torch.randint(0, 256, (24, 3, 4, 4), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


@pytest.fixture
def labels(net: nn.Module, images: Tensor) -> Tensor:
    """What the net says, but for every sixth image: there is something to lose."""
    net.eval()
    with torch.no_grad():
        said = net(SPEC.normalize(images / 255)).argmax(1)
    net.train()
    said[::6] = (said[::6] + 1) % 5
    return said
