"""Shapes and strides of results without values, against those of the same network on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rarefy.dispatch_modes import EagerMode, call_without_values


class Shapes(EagerMode):
    """Records the name, shape and strides of every operation's first result, and where it is."""

    def __init__(self, call: Callable[..., Any]) -> None:
        super().__init__()
        self.call = call
        self.results: list[tuple[str, torch.Size, tuple[int, ...]]] = []
        self.devices: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = self.call(func, args, kwargs or {})
        tensor = result[0] if isinstance(result, tuple) else result
        if isinstance(tensor, Tensor):
            self.results.append((str(func), tensor.shape, tensor.stride()))
            self.devices.add(tensor.device.type)
        return result


def call_torch(func: Any, args: Any, kwargs: Any) -> Any:
    return func(*args, **kwargs)


class Network(nn.Module):
    """Convolutions, norms, views, operations in place, and attention."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU6(inplace=True), nn.MaxPool2d(2),
            nn.Conv2d(8, 8, 3, groups=4), nn.SiLU(), nn.GroupNorm(2, 8), nn.Hardswish(), nn.AvgPool2d(2),
        )  # fmt: skip
        self.query = nn.Linear(8, 24)
        self.last = nn.Linear(8, 5)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.layers(images).flatten(2).transpose(1, 2)
        query, key, value = self.query(tokens).chunk(3, -1)
        attention = torch.softmax(query @ key.transpose(1, 2), -1) @ value
        tokens = F.layer_norm(torch.cat((tokens, attention), 1), (8,))
        return F.log_softmax(self.last(F.gelu(tokens).mean(1)), 1)


def test_results_have_the_shapes_of_real_ones() -> None:
    network, images = Network().eval(), torch.randn(2, 3, 32, 32)
    results = []
    for call, device in ((call_torch, "cpu"), (call_without_values, "meta")):
        model, inputs = network.to(device), images.to(device)
        with torch.no_grad(), Shapes(call) as mode:
            model(inputs)
        assert mode.devices == {device}
        results.append(mode.results)
    assert results[1] == results[0]


def test_results_keep_the_memory_layout() -> None:
    image, weight = torch.ones(1, 3, 8, 8), torch.ones(4, 3, 3, 3)
    image, weight = (tensor.contiguous(memory_format=torch.channels_last) for tensor in (image, weight))
    options = (None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1)
    result = call_without_values(torch.ops.aten.convolution.default, (image.to("meta"), weight.to("meta"), *options))
    assert result.stride() == F.conv2d(image, weight).stride() != torch.empty(1, 4, 6, 6).stride()


def test_a_forward_that_looks_at_values_fails_as_without_the_mode() -> None:
    with pytest.raises(RuntimeError, match="meta"), Shapes(call_without_values):
        torch.empty(3, device="meta").sum().item()


def test_random_generators_do_not_move() -> None:
    state = torch.get_rng_state()
    with Shapes(call_without_values) as mode:
        F.dropout(torch.empty(3, 3, device="meta"), training=True)
    assert mode.results
    assert torch.equal(torch.get_rng_state(), state)
