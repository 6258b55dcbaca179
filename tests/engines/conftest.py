"""Small networks, a batch, and the kernels' absence."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rarefy.sparsity import Sparsity, sparsify


class Residual(nn.Module):
    """Convolutions with strides, groups and a shortcut, batch norm, linear layers, and one layer that stays dense."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 12, 3, stride=2, padding=1, groups=2)
        self.bn2 = nn.BatchNorm2d(12)
        self.shortcut = nn.Conv2d(8, 12, 1, stride=2)
        self.depthwise = nn.Conv2d(12, 12, 3, padding=1, groups=12)
        self.hidden = nn.Linear(12 * 9, 20)
        self.fc = nn.Linear(20, 4)

    def forward(self, images: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(images)))
        x = torch.relu(self.bn2(self.conv2(x)) + self.shortcut(x))
        x = self.depthwise(x)
        return self.fc(torch.relu(self.hidden(x.flatten(1))))


@pytest.fixture
def make() -> Callable[..., tuple[Residual, Sparsity]]:
    """The same network and masks at every call; `options` are those of sparsify."""

    def build(**options: Any) -> tuple[Residual, Sparsity]:
        with torch.random.fork_rng():
            torch.manual_seed(3)
            model = Residual()
        return model, sparsify(model, **{"density": 0.3, "allocation": "uniform", "seed": 17, **options})

    return build


@pytest.fixture
def trained_network(make) -> tuple[Residual, Sparsity]:
    """With running statistics and affine values that are not those of the beginning."""
    model, sparsity = make()
    with torch.no_grad():
        for count in range(4, 9):
            model(torch.randn(count, 3, 6, 6, generator=torch.Generator().manual_seed(count)))
        for module in (model.bn1, model.bn2):
            module.weight.uniform_(0.5, 2, generator=torch.Generator().manual_seed(1))
            module.bias.uniform_(-1, 1, generator=torch.Generator().manual_seed(2))
    return model, sparsity


@pytest.fixture(autouse=True)
def own_cache(make_cache, tmp_path, monkeypatch) -> None:
    """Plans of each test are kept apart."""
    monkeypatch.setenv("RAREFY_CACHE", str(make_cache(tmp_path / "cache")))


@pytest.fixture
def no_numba(monkeypatch) -> None:
    """As on a machine where numba cannot be imported."""
    monkeypatch.setitem(sys.modules, "numba", None)
