"""Which parameters decay."""

from __future__ import annotations

import pytest
from torch import nn

from rarefy.sparsity import sparsify


@pytest.fixture
def model() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


def names(model: nn.Module, groups: list[dict]) -> list[tuple[list[str], float]]:
    known = {id(parameter): name for name, parameter in model.named_parameters()}
    return [([known[id(p)] for p in group["params"]], group["weight_decay"]) for group in groups]


def group(model: nn.Module, decays_vectors: bool) -> list[dict]:
    sparsity = sparsify(model, density=0.5)
    return sparsity.param_groups(lr=0.1, weight_decay=5e-4, decays_vectors=decays_vectors)


def test_everything_decays_as_in_the_paper_s_cifar_runs(model):
    everything = ["0.weight", "0.bias", "1.weight", "1.bias", "3.weight", "3.bias"]
    assert names(model, group(model, True)) == [(everything, 5e-4)]


def test_norms_and_biases_are_spared_on_request(model):
    decayed, spared = ["0.weight", "3.weight"], ["0.bias", "1.weight", "1.bias", "3.bias"]
    assert names(model, group(model, False)) == [(decayed, 5e-4), (spared, 0.0)]


@pytest.mark.parametrize("norms", [True, False])
def test_frozen_parameters_are_left_out(model, norms):
    model[0].requires_grad_(False)
    held = [name for group, _ in names(model, group(model, norms)) for name in group]
    assert sorted(held) == ["1.bias", "1.weight", "3.bias", "3.weight"]


def test_a_norm_over_several_dimensions_is_a_norm():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.LayerNorm((4, 2, 2)))
    decayed = names(model, group(model, False))[0][0]
    assert decayed == ["0.weight"]
