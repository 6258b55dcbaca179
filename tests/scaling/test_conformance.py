"""What every scaling promises."""

from __future__ import annotations

import dataclasses

import pytest

from rarefy.errors import InvalidInput, MethodError
from rarefy.registry import list_file_names
from rarefy.scaling import SCALINGS, Factors, LayerRatio, scale

RULES = [SCALINGS.build(name) for name in SCALINGS.names()]


def test_every_file_is_a_method() -> None:
    assert list_file_names("scaling") == SCALINGS.names() == ["fan_in", "mup", "none", "supar"]


@pytest.mark.parametrize("rule", RULES, ids=SCALINGS.names())
def test_a_method_is_a_frozen_documented_value(rule) -> None:
    assert type(rule).__doc__ and "Example:" in type(rule).__doc__ and "References:" in type(rule).__doc__
    assert rule == SCALINGS.build(SCALINGS.name_of(rule))
    with pytest.raises(dataclasses.FrozenInstanceError):
        rule.anything = 1


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("rule", RULES, ids=SCALINGS.names())
def test_the_base_network_keeps_its_hyper_parameters(rule, optimizer) -> None:
    assert scale(rule, LayerRatio(), optimizer) == Factors()


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("rule", RULES, ids=SCALINGS.names())
def test_two_steps_are_one(rule, optimizer) -> None:
    """From a base network to a second and from there to a third is the same as from the first to the third."""
    one, other = LayerRatio(0.5, 4, 4), LayerRatio(0.25, 2, 2)
    both = LayerRatio(0.125, 8, 8)
    first, second = (dataclasses.asdict(scale(rule, ratio, optimizer)) for ratio in (one, other))
    product = {name: first[name] * second[name] for name in first}
    assert dataclasses.asdict(scale(rule, both, optimizer)) == pytest.approx(product, rel=1e-12)


@pytest.mark.parametrize("side", ["density", "inputs", "outputs"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_a_ratio_that_is_none_is_refused(side, value) -> None:
    with pytest.raises(InvalidInput) as caught:
        scale(RULES[0], LayerRatio(**{side: value}))
    assert (caught.value.name, repr(caught.value.value)) == (side, repr(value))


def test_a_rule_that_breaks_its_promise_is_blamed() -> None:
    class Wrong:
        def __call__(self, ratio, optimizer):
            return Factors(rate=0.0)

    with pytest.raises(MethodError):
        scale(Wrong(), LayerRatio())
