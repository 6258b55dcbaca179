"""What the door refuses and checks, whatever the rule, and ties and floors of rules that score weights."""

from __future__ import annotations

import dataclasses
import time

import pytest
import torch
from torch import nn

from rarefy.allocation import ALLOCATIONS, InfeasibleDensity, Probe, SaliencyRule, allocate

UNIFORM = ALLOCATIONS.build("uniform")


def linear_probe(**layers: int) -> Probe:
    model = nn.ModuleDict({name: nn.Linear(size, 1, bias=False) for name, size in layers.items()})
    return Probe(model, {name: model[name].weight for name in layers}, torch.zeros(1, 1))


@dataclasses.dataclass(frozen=True)
class Given:
    """A saliency rule whose scores are written in the test."""

    scores: dict[str, list[float]]

    def samples_needed(self, classes):
        return 1

    def saliency(self, probe, density):
        return {name: torch.tensor([values]) for name, values in self.scores.items()}


@dataclasses.dataclass(frozen=True)
class Fixed:
    """A density rule whose answer is written in the test."""

    densities: dict[str, float]

    def __call__(self, shapes, density):
        return self.densities


@pytest.mark.parametrize("density", [0, -0.1, 1.0001, float("nan"), float("inf")])
def test_a_density_out_of_range_is_refused(density) -> None:
    with pytest.raises(ValueError, match=r"in \(0, 1\]; got"):
        allocate(UNIFORM, {"a": (4, 4)}, density)


def test_no_layers_or_empty_layers_are_refused() -> None:
    with pytest.raises(ValueError, match="no layer"):
        allocate(UNIFORM, {}, 0.5)
    for shape in [(0, 3), (), (4, 0)]:
        with pytest.raises(ValueError, match="'b' has shape"):
            allocate(UNIFORM, {"a": (4, 4), "b": shape}, 0.5)


def test_fewer_weights_than_layers_says_the_smallest_density() -> None:
    shapes = {"a": (100,), "b": (100,), "c": (100,)}
    with pytest.raises(InfeasibleDensity, match=r"keeps 2 of 300 weights.* 3 layers.*works is 0\.01\.") as error:
        allocate(UNIFORM, shapes, 0.007)
    assert allocate(UNIFORM, shapes, error.value.nearest) == {"a": 1, "b": 1, "c": 1}


@pytest.mark.parametrize(
    ("densities", "message"),
    [
        ({"a": 0.5}, r"missing \['b'\]"),
        ({"a": 0.5, "b": 0.5, "c": 0.5}, r"unknown \['c'\]"),
        ({"a": 0.0, "b": 1.5}, "density 1.5"),
        ({"a": -0.5, "b": 1.0}, "density -0.5"),
        ({"a": float("nan"), "b": 0.5}, "density nan"),
        ({"a": 0.4, "b": 0.4}, r"keep 8\.00 weights instead of 10"),
    ],
)
def test_a_rule_that_breaks_its_contract_is_caught(densities, message) -> None:
    with pytest.raises(ValueError, match=message):
        allocate(Fixed(densities), {"a": (10,), "b": (10,)}, 0.5)


def test_a_layer_that_a_rule_leaves_empty_gets_a_weight_of_the_largest() -> None:
    shapes = {"a": (10,), "b": (10,), "c": (10,)}
    assert allocate(Fixed({"a": 0.0, "b": 0.75, "c": 0.75}), shapes, 0.5) == {"a": 1, "b": 7, "c": 7}


def test_layers_get_their_least_from_those_that_keep_most_above_theirs() -> None:
    shapes = {"a": (10,), "b": (10,), "c": (10,)}
    rule, least = Fixed({"a": 0.1, "b": 0.6, "c": 0.8}), {"a": 4, "b": 1, "c": 6}
    assert allocate(rule, shapes, 0.5, least=least) == {"a": 4, "b": 3, "c": 8}  # b is 5, 4 and 3 above its least, c 2
    with pytest.raises(InfeasibleDensity) as error:
        allocate(rule, shapes, 0.3, least=least)
    assert error.value.nearest == 0.37  # 11 of 30
    assert allocate(UNIFORM, shapes, error.value.nearest, least=least) == least


def test_float_noise_decides_no_tie() -> None:
    shapes = {"b": (10,), "a": (10,), "c": (10,)}
    assert allocate(Fixed({"b": 0.25, "a": 0.25 + 1e-14, "c": 0.4 - 1e-14}), shapes, 0.3) == {"b": 3, "a": 2, "c": 4}


def test_scores_are_counted_and_ties_go_to_the_lower_position() -> None:
    rule = Given({"a": [5.0, 1.0, 1.0], "b": [1.0, 1.0, 9.0]})
    shapes = {"a": (1, 3), "b": (1, 3)}
    probe = linear_probe(a=3, b=3)
    assert allocate(rule, shapes, 2 / 6, probe=probe) == {"a": 1, "b": 1}
    assert allocate(rule, shapes, 4 / 6, probe=probe) == {"a": 3, "b": 1}
    assert allocate(rule, shapes, 5 / 6, probe=probe) == {"a": 3, "b": 2}
    assert allocate(rule, shapes, 1.0, probe=probe) == {"a": 3, "b": 3}


def test_negative_scores_count_too_and_a_collapsed_layer_keeps_one_weight() -> None:
    rule = Given({"a": [-4.0, -5.0], "b": [-1.0, -2.0, -3.0, 0.0]})
    assert allocate(rule, {"a": (1, 2), "b": (1, 4)}, 0.5, probe=linear_probe(a=2, b=4)) == {"a": 1, "b": 2}


def test_scores_of_another_shape_or_not_finite_are_refused() -> None:
    probe = linear_probe(a=2)
    with pytest.raises(ValueError, match=r"shape \(1, 3\), not \(1, 2\)"):
        allocate(Given({"a": [1.0, 2.0, 3.0]}), {"a": (1, 2)}, 0.5, probe=probe)
    with pytest.raises(ValueError, match="not finite"):
        allocate(Given({"a": [1.0, float("nan")]}), {"a": (1, 2)}, 0.5, probe=probe)
    with pytest.raises(ValueError, match=r"missing \['b'\]"):
        allocate(Given({"a": [1.0, 2.0]}), {"a": (1, 2), "b": (1, 2)}, 0.5, probe=probe)


@pytest.mark.parametrize("name", ["snip", "grasp", "synflow"])
def test_a_rule_that_looks_at_data_asks_for_a_sample(name) -> None:
    rule = ALLOCATIONS.build(name)
    assert isinstance(rule, SaliencyRule)
    with pytest.raises(ValueError, match=rf"'{name}' looks at data .*pass `sample=\(x, y\)`"):
        allocate(rule, {"a": (4, 4)}, 0.5)


def test_density_rules_ask_for_none() -> None:
    assert not isinstance(UNIFORM, SaliencyRule)


def test_69_million_weights_are_allocated_at_once(wide_resnet50) -> None:
    start = time.perf_counter()
    for name in ("uniform", "uniform_plus", "er", "erk", "erk_plus"):
        allocate(ALLOCATIONS.build(name), wide_resnet50, 0.2)
    assert time.perf_counter() - start < 0.5
