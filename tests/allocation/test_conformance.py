"""The room's promises, over every registered name."""

from __future__ import annotations

import copy
import dataclasses
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import distributed, nn

from rarefy.allocation import ALLOCATIONS, InfeasibleDensity, Probe, SaliencyRule, allocate
from rarefy.registry import list_file_names

OPTIONS: dict[str, dict[str, Any]] = {"custom": {"densities": {"0": 0.3}}, "synflow": {"iterations": 3}}
RULES = {name: ALLOCATIONS.build(name, **OPTIONS.get(name, {})) for name in ALLOCATIONS.names()}
LOOKING = [name for name, rule in RULES.items() if isinstance(rule, SaliencyRule)]
BLIND = [name for name in RULES if name not in LOOKING]

SHAPES = st.lists(st.lists(st.integers(1, 12), min_size=1, max_size=5).map(tuple), min_size=1, max_size=8).map(
    lambda shapes: {str(place): shape for place, shape in enumerate(shapes)}
)
DENSITIES = st.floats(0, 1, exclude_min=True)


def keep(rule, shapes, density, probe=None):
    """Counts at that density, or at the one the error says works."""
    try:
        return density, allocate(rule, shapes, density, probe=probe)
    except InfeasibleDensity as error:
        assert repr(error.nearest) in str(error)
        return keep_again(rule, shapes, error.nearest, probe)


def keep_again(rule, shapes, density, probe):
    try:
        return density, allocate(rule, shapes, density, probe=probe)
    except InfeasibleDensity as error:  # the first error was of one weight a layer, this one is of the rule
        return error.nearest, allocate(rule, shapes, error.nearest, probe=probe)


def check(shapes, density, counts) -> None:
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    assert list(counts) == list(shapes)
    assert all(type(count) is int for count in counts.values())
    assert all(1 <= counts[name] <= sizes[name] for name in shapes)
    assert sum(counts.values()) == round(density * sum(sizes.values()))


def test_every_file_is_a_method() -> None:
    assert list_file_names("allocation") == ALLOCATIONS.names()
    assert set(ALLOCATIONS.names()) >= {
        "dense", "uniform", "uniform_plus", "er", "erk", "erk_plus", "snip", "grasp", "synflow", "custom",
        "balanced", "pyramidal", "igq", "smart_ratio",
    }  # fmt: skip


def test_every_method_is_in_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "allocations.md").read_text(encoding="utf-8")
    table = page.partition("\n## ")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", table, re.M)) == ALLOCATIONS.names()


@pytest.mark.parametrize("name", RULES)
def test_a_method_is_a_frozen_documented_value(name) -> None:
    rule = RULES[name]
    assert type(rule).__doc__ and "Example:" in type(rule).__doc__
    assert rule == ALLOCATIONS.build(name, **OPTIONS.get(name, {}))
    with pytest.raises(dataclasses.FrozenInstanceError):
        rule.anything = 1


@pytest.mark.parametrize("name", BLIND)
@settings(deadline=None, max_examples=150)
@given(shapes=SHAPES, density=DENSITIES)
def test_counts_are_exact_within_bounds_and_never_zero(name, shapes, density) -> None:
    density, counts = keep(RULES[name], shapes, density)
    check(shapes, density, counts)


@pytest.mark.parametrize("name", sorted(set(BLIND) - {"custom", "dense"}))
@settings(deadline=None, max_examples=100)
@given(shapes=SHAPES, densities=st.tuples(DENSITIES, DENSITIES).map(sorted))
def test_no_layer_gets_sparser_as_the_whole_gets_denser(name, shapes, densities) -> None:
    less, _ = keep(RULES[name], shapes, densities[0])
    more, _ = keep(RULES[name], shapes, max(less, densities[1]))
    fewer, greater = RULES[name](shapes, less), RULES[name](shapes, more)
    # Of the densities; rounding may move a single weight either way.
    assert all(fewer[layer] <= greater[layer] + 1e-9 for layer in shapes)


@pytest.mark.parametrize("name", BLIND)
def test_the_whole_network_at_density_1_is_dense_where_nothing_is_fixed_below(name) -> None:
    shapes = {"0": (3, 4), "1": (5, 3, 3, 3), "2": (2, 5)}
    _, counts = keep(RULES[name], shapes, 1.0)
    if name != "custom":
        assert counts == {"0": 12, "1": 135, "2": 10}


class Net(nn.Module):
    def __init__(self, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.group = nn.Conv2d(4, 4, 3, groups=groups)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(16, 7)
        self.unused = nn.Linear(2, 2)

    def forward(self, x):
        x = self.group(self.norm(self.conv(x)).relu()).relu()
        return self.fc(self.drop(x.flatten(1)))


def network(groups: int = 2) -> tuple[Net, Probe]:
    torch.manual_seed(0)
    model = Net(groups)
    weights = {name: weight for name, weight in model.named_parameters() if weight.ndim > 1}
    return model, Probe(model, weights, torch.randn(21, 2, 6, 6), torch.arange(21) % 7)


def shapes_of(probe):
    return {name: tuple(weight.shape) for name, weight in probe.weights.items()}


@pytest.mark.parametrize("name", LOOKING)
@pytest.mark.parametrize("density", [0.05, 0.3, 0.9, 1.0])
def test_scored_counts_are_exact_within_bounds_and_never_zero(name, density) -> None:
    _, probe = network()
    check(shapes_of(probe), density, allocate(RULES[name], shapes_of(probe), density, probe=probe))


@pytest.mark.parametrize("name", LOOKING)
@pytest.mark.parametrize("training", [True, False])
def test_scoring_leaves_no_trace(name, training) -> None:
    model, probe = network()
    model.train(training)
    model.norm.eval()
    model.group.weight.requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    inputs, random = probe.inputs.clone(), torch.get_rng_state()
    with torch.no_grad():  # a caller's mode does not matter either
        allocate(RULES[name], shapes_of(probe), 0.3, probe=probe)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert [parameter.requires_grad for parameter in model.parameters()].count(False) == 1
    assert (model.training, model.norm.training, model.drop.training) == (training, False, training)
    assert torch.equal(probe.inputs, inputs)
    assert torch.equal(torch.get_rng_state(), random)


@pytest.mark.parametrize("name", LOOKING)
def test_scores_are_the_same_whatever_the_global_random_state_and_the_names(name) -> None:
    _, probe = network()
    shapes = shapes_of(probe)
    scores = RULES[name].saliency(probe, 0.3)
    torch.manual_seed(99)
    renamed = dataclasses.replace(probe, weights={f"x.{key}": weight for key, weight in probe.weights.items()})
    again = RULES[name].saliency(renamed, 0.3)
    assert list(scores) == list(shapes)
    assert all(torch.equal(again[f"x.{key}"], score) for key, score in scores.items())


@pytest.fixture
def group() -> Iterator[None]:
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.usefixtures("group")
@pytest.mark.parametrize("name", LOOKING)
def test_wrappers_are_looked_through(name) -> None:
    model, probe = network()
    wrapped = nn.parallel.DistributedDataParallel(torch.compile(model, backend="eager"))
    scores = RULES[name].saliency(probe, 0.3)
    again = RULES[name].saliency(dataclasses.replace(probe, model=wrapped), 0.3)
    assert all(torch.equal(again[key], score) for key, score in scores.items())


def test_a_replica_trains_whatever_the_mode_of_the_model() -> None:
    model, probe = network()
    replica, weights = dataclasses.replace(probe, model=model.eval()).copy_network()
    assert all(module.training for module in replica.modules())
    assert weights["fc.weight"] is replica.fc.weight


def test_a_probe_that_does_not_fit_is_refused() -> None:
    model, probe = network()
    with pytest.raises(ValueError, match="21 inputs but 3 targets"):
        dataclasses.replace(probe, targets=torch.zeros(3))
    with pytest.raises(ValueError, match="sample is empty"):
        dataclasses.replace(probe, inputs=probe.inputs[:0])
    stranger = dataclasses.replace(probe, weights={"w": nn.Parameter(torch.zeros(2, 2))})
    with pytest.raises(ValueError, match="not parameters of the model: w"):
        stranger.copy_network()
    assert model.training
