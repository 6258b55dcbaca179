from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn


@pytest.fixture
def net() -> nn.Module:
    """Convolutions with batch norm and dropout, drawn from a generator of its own."""
    net = nn.Sequential(
        *(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(4, 5, 3, padding=1, bias=False), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(20, 3)),
    )
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 2)
    return net


@pytest.fixture
def masks(net: nn.Module) -> dict[str, Tensor]:
    """A random half, written into the net."""
    generator = torch.Generator().manual_seed(1)
    found = {f"{i}.weight": torch.rand(net[i].weight.shape, generator=generator) < 0.5 for i in (0, 4, 8)}
    for name, mask in found.items():
        net.get_parameter(name).data.mul_(mask)
    return found


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(6, 2, 4, 4, generator=generator), torch.arange(6) % 3


@pytest.fixture
def unchanged(net: nn.Module):  # type: ignore[no-untyped-def]
    """After the test the net is bit for bit what it was before, in its mode and without gradients."""
    net.train()
    before = copy.deepcopy(net.state_dict())
    yield net
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert all(module.training for module in net.modules())
    assert all(p.requires_grad and p.grad is None for p in net.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
