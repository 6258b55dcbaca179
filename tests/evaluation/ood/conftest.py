"""A small net, training images of two kinds and images that are of neither."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rarefy.data import Spec, Split
from rarefy.evaluation.ood import View

SPEC = Spec("dots", classes=3, channels=3, height=4, width=4, mean=(0.5, 0.4, 0.3), std=(0.25, 0.3, 0.2))


def split_of(count: int, seed: int) -> Split:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 3, 4, 4), generator=generator, dtype=torch.uint8)
    return Split(images, torch.arange(count) % 3)


def net_of(seed: int = 0) -> nn.Module:
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 3)
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
def reference() -> Split:
    return split_of(60, seed=1)


@pytest.fixture
def split() -> Split:
    return split_of(11, seed=2)


@pytest.fixture
def view(net: nn.Module, spec: Spec, split: Split, reference: Split) -> View:
    return View(net, spec, split, reference=View(net, spec, reference), batch_size=4)
