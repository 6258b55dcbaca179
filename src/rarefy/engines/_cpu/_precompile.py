"""Runs a small network that calls every kernel once, with the argument types that all calls have."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from rarefy.engines._cpu.fusion._layers import SparseConv2d, SparseLinear
from rarefy.engines._cpu.fusion._scope import fuse


class _EveryKernel(nn.Module):
    """A network with every operation that has a kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = (
            _make_conv(1, 2),
            _make_conv(2, 2),
            SparseLinear.from_dense(*_make_layer(nn.Linear, 2, 1)),
        )
        self.norm, self.other = nn.BatchNorm2d(2), nn.BatchNorm2d(2)
        self.pool = nn.MaxPool2d(2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        hidden = self.norm(self.first(images)).relu()
        hidden = (self.other(self.second(hidden)) + hidden).relu()
        result: torch.Tensor = self.last(self.pool(hidden).mean((2, 3)))
        return result


def precompile() -> None:
    """Compiles every kernel by a forward and a backward pass of a small network."""
    model = _EveryKernel()
    images = torch.ones(2, 1, 4, 4)
    fuse(model)
    model(images).sum().backward()


def _make_conv(inputs: int, outputs: int) -> SparseConv2d:
    return SparseConv2d.from_dense(*_make_layer(nn.Conv2d, inputs, outputs, 3, padding=1, bias=False))


def _make_layer(kind: type, *sizes: int, **options: object) -> tuple[Any, torch.Tensor]:
    # On the meta device first: torch would draw initial values from the global generator.
    layer = kind(*sizes, **options, device="meta").to_empty(device="cpu")
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.fill_(0.1)
    return layer, torch.ones(layer.weight.shape, dtype=torch.bool)
