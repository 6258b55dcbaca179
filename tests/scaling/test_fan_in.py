from __future__ import annotations

import pytest
import torch
from torch import nn

from rarefy.models import initialise_weights
from rarefy.scaling import SCALINGS, Factors, LayerRatio
from rarefy.sparsity import sparsify


def test_only_initial_weights_are_scaled() -> None:
    assert SCALINGS.build("fan_in")(LayerRatio(0.04, 8, 2), "adam") == Factors(initial=pytest.approx(5))


def test_the_variance_is_that_of_kaiming_with_the_inputs_that_are_left() -> None:
    model = nn.Sequential(nn.Conv2d(16, 64, 3), nn.Linear(200, 200))
    initialise_weights(model, generator=torch.Generator().manual_seed(17))
    masks = sparsify(model, density=0.2, scaling="fan_in", allocation="uniform", exclude=["1"]).masks
    assert model[0].weight[masks["0.weight"]].var().item() == pytest.approx(2 / (0.2 * 16 * 9), rel=0.08)
    assert model[1].weight.var().item() == pytest.approx(2 / 200, rel=0.05)
