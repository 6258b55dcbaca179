from __future__ import annotations

import pytest
import torch
from torch import nn

from rarefy.models import initialise_weights


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
