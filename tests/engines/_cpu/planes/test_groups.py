"""Channels that share positions are found, and predictions with them are those of torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rarefy.engines._cpu.kernels._plane_columns import Kind, Step
from rarefy.engines._cpu.planes import PlanesNetwork
from rarefy.engines._cpu.planes._groups import group_channels
from rarefy.engines._cpu.planes._program import make_program

pytestmark = pytest.mark.kernels


def group(
    weight: list[list[float]], sizes: list[int]
) -> list[tuple[int, int, list[int], list[int], list[list[float]]]]:
    """Groups the channels of a small matrix; returns each result's fields."""
    matrix = np.array(weight)
    k, c = np.nonzero(matrix)
    results = group_channels(k, c + 3, matrix[k, c], len(matrix), sizes)
    return [(g.first, g.size, g.starts.tolist(), g.offsets.tolist(), g.values.tolist()) for g in results]


def test_channels_with_the_same_positions_are_one_group() -> None:
    assert group([[1, 0, 2], [3, 0, 4], [0, 5, 0], [0, 6, 0]], [1, 2]) == [
        (0, 2, [0, 2, 3], [3, 5, 4], [[1, 3], [2, 4], [5, 6]]),
    ]


def test_channels_that_are_left_over_get_a_smaller_group() -> None:
    assert group([[1, 0], [2, 0], [3, 0]], [1, 2]) == [(0, 2, [0, 1], [3], [[1, 2]]), (2, 1, [0, 1], [3], [[3]])]


def test_channels_that_share_little_stay_alone() -> None:
    assert group([[1, 0, 2, 0], [0, 3, 0, 4]], [1, 2]) == [(0, 1, [0, 2, 4], [3, 5, 4, 6], [[1], [2], [3], [4]])]


def test_a_weight_that_one_channel_lacks_is_zero() -> None:
    assert group([[1, 2, 3], [4, 5, 0]], [1, 2]) == [(0, 2, [0, 3], [3, 4, 5], [[1, 4], [2, 5], [3, 0]])]


def test_channels_without_weights() -> None:
    ((first, size, starts, offsets, values),) = group([[0, 0]] * 4, [1, 2])
    assert (first, size * (len(starts) - 1), set(starts), offsets, values) == (0, 4, {0}, [], [])


def make_layers(size: int) -> nn.Sequential:
    """Makes layers whose kept positions are drawn for `size` outputs at once; 13 outputs are no multiple of it."""
    generator = torch.Generator().manual_seed(size)
    layers = nn.Sequential(
        nn.Conv2d(5, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, 13, 3, padding=2, dilation=2, stride=2), nn.ReLU6(),
        nn.Conv2d(13, 24, 1), nn.Flatten(), nn.Linear(24 * 20, 35), nn.Hardtanh(), nn.Linear(35, 18, bias=False),
    )  # fmt: skip
    for layer in layers:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            weight = layer.weight.data
            groups = -(-len(weight) // size)
            kept = torch.rand(groups, 1, *weight.shape[1:], generator=generator) < 0.3
            weight.mul_(kept.expand(groups, size, *weight.shape[1:]).reshape(-1, *weight.shape[1:])[: len(weight)])
    return layers.eval()


@pytest.mark.parametrize("size", [2, 4, 8, 16])
def test_outputs_are_those_of_torch(size) -> None:
    layers = make_layers(size)
    network = PlanesNetwork.capture(layers, torch.zeros(2, 5, 8, 10))
    inputs = torch.randn(6, 5, 8, 10, generator=torch.Generator().manual_seed(1))
    expected = layers.double()(inputs.double()).detach().float()
    for together in (1, 4):
        out = torch.full_like(expected, float("nan"))
        network.predict(inputs, together, out)
        torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
    assert 2 in {size for _, size in list_sizes(network, 4)}
    assert min(size, 4) <= max(size for kind, size in list_sizes(network, 4) if kind == Kind.SUM)
    assert max(size for kind, size in list_sizes(network, 1) if kind == Kind.DOT) >= min(size, 8) // 4 * 4


def list_sizes(network: PlanesNetwork, images: int) -> list[tuple[int, int]]:
    steps = make_program(network._network, images).steps
    return [(int(step[Step.KIND]), int(step[Step.SIZE])) for step in steps]


def test_a_sum_of_groups_adds_another_tensor() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(3, 9, 3, padding=1), nn.Conv2d(3, 9, 1)
            self.dense = nn.Linear(9, 9)

        def forward(self, x: Tensor) -> Tensor:
            features = torch.relu(self.one(x) + self.two(x)).mean((2, 3))
            return torch.relu(self.dense(features) + features)

    block, inputs = Block().eval(), torch.randn(3, 3, 6, 7, generator=torch.Generator().manual_seed(2))
    network = PlanesNetwork.capture(block, inputs)
    for together in (1, 3):
        out = torch.empty(3, 9)
        network.predict(inputs, together, out)
        torch.testing.assert_close(out, block(inputs).detach(), rtol=1e-5, atol=1e-5)
