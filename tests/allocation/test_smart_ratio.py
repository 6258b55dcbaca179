"""Smart ratios by hand, and in the proportions of the authors' code."""

from __future__ import annotations

import math

import pytest

from rarefy.allocation import ALLOCATIONS, InfeasibleDensity, allocate
from rarefy.registry import UnknownOption

RULE = ALLOCATIONS.build("smart_ratio")


def test_by_hand() -> None:
    # Three layers: ratios 3 * 4 and 2 * 3. The classifier keeps 6 of 20, and 18 are left of 24: 12 * 20 : 6 * 40 = 1:1.
    assert allocate(RULE, {"a": (1, 20), "b": (2, 20), "fc": (1, 20)}, 0.3) == {"a": 9, "b": 9, "fc": 6}


def test_a_density_above_1_is_shared_among_the_other_layers() -> None:
    # Ratios 4 * 5, 3 * 4, 2 * 3; 39 of 50 weights are left to three layers: 20 : 24 : 24 would be 11.5 of 10.
    counts = allocate(RULE, {"a": (1, 10), "b": (1, 20), "c": (1, 40), "fc": (1, 20)}, 50 / 90)
    assert counts == {"a": 10, "b": 15, "c": 14, "fc": 11}


@pytest.mark.parametrize("squared_decay", [False, True])
def test_proportions_are_those_of_the_authors_code(cifar_resnet, squared_decay) -> None:
    shapes = cifar_resnet(32, width=32)
    sizes, layers = {name: math.prod(shape) for name, shape in shapes.items()}, len(shapes)
    rule = ALLOCATIONS.build("smart_ratio", squared_decay=squared_decay)
    densities = rule(shapes, 0.02)  # the authors' 98%
    assert densities.pop("fc.weight") == pytest.approx(0.3, abs=1 / sizes["fc.weight"])
    for index, (name, density) in enumerate(densities.items()):
        ratio = ((layers - index) ** 2 + (layers - index)) / ((index + 1) ** 2 if squared_decay else 1)
        if density < 1 and density * sizes[name] > 1:
            first, top = index, ratio / density
            break
    for index, (name, density) in enumerate(densities.items()):
        ratio = ((layers - index) ** 2 + (layers - index)) / ((index + 1) ** 2 if squared_decay else 1)
        if index >= first and density * sizes[name] > 1:
            assert ratio / density == pytest.approx(top)
    assert sum(allocate(rule, shapes, 0.02).values()) == round(0.02 * sum(sizes.values()))


def test_a_classifier_that_takes_the_whole_budget_is_refused(resnet50) -> None:
    with pytest.raises(InfeasibleDensity) as error:  # 0.3 * 2,048,000 of 25,502,912 weights
        allocate(RULE, resnet50, 0.01)
    assert error.value.nearest == pytest.approx(0.3 * 2_048_000 / 25_502_912, abs=1e-5)


@pytest.mark.parametrize("fc_density", [0.0, -1.0, 1.5, math.nan])
def test_an_fc_density_out_of_range_is_refused(fc_density) -> None:
    with pytest.raises(UnknownOption, match="fc_density"):
        ALLOCATIONS.build("smart_ratio", fc_density=fc_density)
