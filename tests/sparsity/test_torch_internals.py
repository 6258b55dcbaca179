"""What rarefy uses of torch beyond its public interface; a torch that changes it fails here first."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from rarefy.sparsity import ModelChanged, sparsify

RELEASE = f"torch {torch.__version__} changed"


class Double(nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return 2 * weight


def test_module_parameters_hold_a_layers_parameters_and_no_computed_ones() -> None:
    layer = nn.Linear(3, 2)
    assert layer._parameters["weight"] is layer.weight, f"{RELEASE} Module._parameters"
    replaced = layer.weight = nn.Parameter(torch.ones(2, 3))
    assert layer._parameters["weight"] is replaced, f"{RELEASE} Module._parameters: assignments go elsewhere"
    parametrize.register_parametrization(layer, "weight", Double())
    assert "weight" not in layer._parameters, f"{RELEASE} Module._parameters: computed weights are in it"


def test_module_modules_hold_a_models_children() -> None:
    model = nn.Sequential(nn.Linear(3, 2))
    children = model._modules
    model[0] = nn.Linear(3, 2)
    assert children["0"] is model[0], f"{RELEASE} Module._modules: an assignment is not seen in it"


def test_tensor_version_counts_writes_in_place() -> None:
    weight = nn.Parameter(torch.ones(3))
    before = weight._version
    with torch.no_grad():
        weight.mul_(2)
    assert weight._version == before + 1, f"{RELEASE} Tensor._version"
    torch.autograd.graph.increment_version(weight)
    assert weight._version == before + 2, f"{RELEASE} Tensor._version: increment_version counts elsewhere"


def test_a_weight_computed_after_sparsify_is_found_by_these_dicts() -> None:
    model = nn.Sequential(nn.Linear(3, 2))
    sparsity = sparsify(model, density=0.5)
    parametrize.register_parametrization(model[0], "weight", Double())
    with pytest.raises(ModelChanged) as caught:
        sparsity.weights()
    assert caught.value.name == "0.weight"
