"""What every engine promises: a plan for every layer, and the results of the dense model with zeros."""

from __future__ import annotations

import copy
import dataclasses
import json

import pytest
import torch
from torch import nn

import rarefy
from rarefy.engines import ENGINES, Plan, install

IMAGES = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(1))


def make() -> tuple[nn.Module, rarefy.Sparsity]:
    generator = torch.Generator().manual_seed(17)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 5))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.1, generator=generator)
    return model, rarefy.sparsify(model, density=0.2)


@pytest.mark.parametrize("name", ENGINES.names())
def test_the_plan_names_the_engine_and_every_layer(name):
    model, sparsity = make()
    plan = install(model, sparsity, ENGINES.build(name), IMAGES)
    assert plan.engine == name
    assert list(plan.layers) == list(sparsity.masks)
    assert set(plan.layers.values()) <= {"dense", "sparse"}
    assert Plan(**json.loads(json.dumps(dataclasses.asdict(plan)))).layers == plan.layers, "plain values for the record"


@pytest.mark.parametrize("name", ENGINES.names())
def test_outputs_and_gradients_are_those_of_a_dense_model_with_zeros(name):
    plain, _ = make()
    model, sparsity = make()
    install(model, sparsity, name, IMAGES)
    outputs = []
    for one in (plain, model):
        inputs = IMAGES.clone().requires_grad_()
        out = one(inputs)
        out.square().sum().backward()
        outputs.append((out, inputs.grad, one[0].bias.grad))
    for dense, ours in zip(*outputs, strict=True):
        torch.testing.assert_close(ours, dense)


@pytest.mark.parametrize("name", ENGINES.names())
def test_pruned_weights_are_zero_after_a_step(name):
    model, sparsity = make()
    install(model, sparsity, name, IMAGES)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    sparsity.attach(optimizer)
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.ones(2, 3, 6, 6)).sum().backward()
        optimizer.step()
    assert sum(int(weight.count_nonzero()) for weight in sparsity.dense_weights().values()) == sparsity.kept


@pytest.mark.parametrize("name", ENGINES.names())
def test_installing_leaves_the_global_generator_and_the_statistics_alone(name):
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 2))
    sparsity = rarefy.sparsify(model, density=0.5)
    before, statistics = torch.get_rng_state(), copy.deepcopy(model[1].state_dict())
    install(model, sparsity, name, torch.ones(4, 6))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, statistics[key]) for key, value in model[1].state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_plan_that_leaves_a_layer_out_is_a_fault():
    model, sparsity = make()
    with pytest.raises(RuntimeError, match=r"The engine 'lazy' has no plan for '3\.weight'"):
        install(model, sparsity, lambda model, sparsity, sample: Plan("lazy", {"0.weight": "dense"}))
