from __future__ import annotations

import pytest
import torch
from torch import nn

from rarefy.models import initialise_weights, rescale_weights


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(17)


@pytest.mark.parametrize(
    ("layer", "fan_in"),
    [
        (nn.Linear(100, 500), 100),
        (nn.Conv1d(20, 200, 5), 100),
        (nn.Conv2d(8, 300, (3, 5)), 120),
        (nn.Conv2d(64, 512, 3, groups=8), 72),
        (nn.Conv3d(4, 200, 3), 108),
    ],
)
def test_variance_is_two_over_fan_in(layer: nn.Module, fan_in: int) -> None:
    bias = layer.get_parameter("bias").clone()
    initialise_weights(nn.Sequential(layer), generator=generator())
    assert layer.get_parameter("weight").var().item() == pytest.approx(2 / fan_in, rel=0.05)
    assert torch.equal(layer.get_parameter("bias"), bias)


def test_a_generator_of_its_own_leaves_the_global_one_alone() -> None:
    layer = nn.Linear(4, 4)
    before = torch.get_rng_state()
    initialise_weights(layer, generator=generator())
    assert torch.equal(before, torch.get_rng_state())


def test_rescaled_is_kaiming_of_the_inputs_that_are_left() -> None:
    model = nn.Sequential(nn.Conv2d(16, 64, 3), nn.Linear(200, 200))
    initialise_weights(model, generator=generator())
    rescale_weights(model, {"0.weight": 0.1})
    assert model[0].weight.var().item() == pytest.approx(2 / (0.1 * 16 * 9), rel=0.05)
    assert model[1].weight.var().item() == pytest.approx(2 / 200, rel=0.05)


@pytest.mark.parametrize("density", [0.0, -0.5, 1.5])
def test_a_density_outside_its_range(density: float) -> None:
    layer = nn.Linear(2, 2)
    before = layer.weight.clone()
    with pytest.raises(ValueError, match=r"densities lie in \(0, 1\]"):
        rescale_weights(layer, {"weight": density})
    assert torch.equal(layer.weight, before)


def test_a_name_that_is_no_weight() -> None:
    with pytest.raises(ValueError, match="'bias'"):
        rescale_weights(nn.Linear(2, 2), {"bias": 0.5})
