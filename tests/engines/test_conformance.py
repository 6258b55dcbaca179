"""What every engine promises: a plan for every layer, and the results of the dense model with zeros."""

from __future__ import annotations

import copy
import dataclasses
import json

import pytest
import torch
from torch import nn

import rarefy
from rarefy.engines import ENGINES, Plan, _gpu, use_engine

HALF = {"density": 0.5, "allocation": "uniform", "pattern": "2:4"}
GPU = torch.device("cuda")


@pytest.fixture(params=ENGINES.names())
def name(request: pytest.FixtureRequest) -> str:
    """Every engine that can be had on this machine."""
    if request.param == "nm" and not (torch.cuda.is_available() and not _gpu.get_missing_hardware(GPU)):
        pytest.skip("nm needs a GPU of compute capability 8.0 or newer, and torch with cuSPARSELt")
    return request.param


def images(name: str) -> torch.Tensor:
    drawn = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    return drawn.to(GPU, torch.bfloat16) if name == "nm" else drawn


def make(name: str) -> tuple[nn.Module, rarefy.Sparsity]:
    """A network that the engine can compute with, where it can."""
    generator = torch.Generator().manual_seed(17)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 16))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.1, generator=generator)
    if name == "nm":
        model.to(GPU, torch.bfloat16)
    return model, rarefy.sparsify(model, **(HALF if name == "nm" else {"density": 0.2}))


def test_the_plan_names_the_engine_and_every_layer(name):
    model, sparsity = make(name)
    plan = use_engine(model, sparsity, ENGINES.build(name), inputs=images(name))
    assert plan.engine == name
    assert list(plan.layers) == list(sparsity.masks)
    assert set(plan.layers.values()) <= {"dense", "sparse", "2:4"}
    assert Plan(**json.loads(json.dumps(dataclasses.asdict(plan)))).layers == plan.layers, "plain values for the record"


def test_outputs_and_gradients_are_those_of_a_dense_model_with_zeros(name):
    plain, _ = make(name)
    model, sparsity = make(name)
    use_engine(model, sparsity, name, inputs=images(name))
    outputs = []
    for one in (plain, model):
        inputs = images(name).requires_grad_()
        out = one(inputs)
        out.square().sum().backward()
        outputs.append((out, inputs.grad, one[0].bias.grad))
    for dense, ours in zip(*outputs, strict=True):
        torch.testing.assert_close(ours, dense, **({"rtol": 2e-2, "atol": 2e-2} if name == "nm" else {}))


def test_pruned_weights_are_zero_after_a_step(name):
    model, sparsity = make(name)
    use_engine(model, sparsity, name, inputs=images(name))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    sparsity.attach(optimizer)
    for _ in range(2):
        optimizer.zero_grad()
        model(images(name)).sum().backward()
        optimizer.step()
    assert sum(int(weight.count_nonzero()) for weight in sparsity.dense_weights().values()) == sparsity.kept


def test_installing_leaves_the_global_generator_and_the_statistics_alone(name):
    model = nn.Sequential(nn.Linear(16, 32), nn.BatchNorm1d(32), nn.Dropout(), nn.Linear(32, 2))
    inputs = torch.ones(4, 16)
    if name == "nm":
        model, inputs = model.to(GPU, torch.bfloat16), inputs.to(GPU, torch.bfloat16)
    sparsity = rarefy.sparsify(model, **(HALF if name == "nm" else {"density": 0.5}))
    before, statistics = torch.get_rng_state(), copy.deepcopy(model[1].state_dict())
    use_engine(model, sparsity, name, inputs=inputs)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, statistics[key]) for key, value in model[1].state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_plan_that_leaves_a_layer_out_is_a_fault():
    model, sparsity = make("masked")
    with pytest.raises(RuntimeError, match=r"The engine 'lazy' has no plan for '3\.weight'"):
        use_engine(model, sparsity, lambda model, sparsity, inputs: Plan("lazy", {"0.weight": "dense"}))
