"""ERK+ by hand, on the paper's ImageNet networks, and at its edge."""

from __future__ import annotations

import math

import pytest

from rarefy.allocation import ALLOCATIONS, InfeasibleDensity, allocate
from rarefy.registry import UnknownOption

RULE = ALLOCATIONS.build("erk_plus")


def test_by_hand() -> None:
    # 72 of 180; 36 for the classifier; 36 over dimensions' sums of 12 and 24.
    assert allocate(RULE, {"a": (6, 6), "b": (18, 6), "fc": (2, 18)}, 0.4) == {"a": 12, "b": 24, "fc": 36}


def test_the_body_of_resnet_50_at_a_tenth_is_left_at_two_percent(resnet50) -> None:
    counts = allocate(RULE, resnet50, 0.1)
    fc = counts.pop("fc.weight")
    body = sum(math.prod(shape) for shape in resnet50.values()) - fc
    assert fc == 2_048_000
    assert sum(counts.values()) / body == pytest.approx(0.0214, abs=6e-5)


@pytest.mark.parametrize(("network", "smallest"), [("resnet50", 0.080), ("wide_resnet50", 0.030)])
def test_the_smallest_density_is_the_classifiers_share(request, network, smallest) -> None:
    shapes = request.getfixturevalue(network)
    with pytest.raises(InfeasibleDensity, match="smallest density that works is") as error:
        allocate(RULE, shapes, 0.02)
    nearest = error.value.nearest
    assert f"works is {nearest};" in str(error.value)
    assert nearest == pytest.approx(smallest, abs=6e-4)
    counts = allocate(RULE, shapes, nearest)
    assert counts["fc.weight"] == 2_048_000
    assert sum(counts.values()) == 2_048_000 + len(shapes) - 1
    with pytest.raises(InfeasibleDensity):
        allocate(RULE, shapes, nearest - 1e-7)


def test_where_erk_makes_the_classifier_dense_both_rules_agree(wide_resnet50) -> None:
    assert allocate(RULE, wide_resnet50, 0.5) == allocate(ALLOCATIONS.build("erk"), wide_resnet50, 0.5)


def test_fc_density_is_met_and_bounds_the_density_from_above() -> None:
    rule = ALLOCATIONS.build("erk_plus", fc_density=0.5)
    shapes = {"a": (6, 6), "fc": (2, 18)}
    assert allocate(rule, shapes, 0.5) == {"a": 18, "fc": 18}
    with pytest.raises(InfeasibleDensity, match=r"largest density that works is 0\.75;"):
        allocate(rule, shapes, 0.9)
    assert allocate(rule, shapes, 0.75) == {"a": 36, "fc": 18}


@pytest.mark.parametrize("fc_density", [0.0, -1.0, 1.5, math.nan])
def test_an_fc_density_that_is_none_is_refused(fc_density) -> None:
    with pytest.raises(UnknownOption, match="fc_density"):
        ALLOCATIONS.build("erk_plus", fc_density=fc_density)
