"""ER against hand calculation; the cap that some released code forgets."""

from __future__ import annotations

import math

import pytest

from rarefy.allocation import ALLOCATIONS, allocate

ER = ALLOCATIONS.build("er")


def test_by_hand() -> None:
    # Shares 4 * 9 and 12; 54 weights of 72: the first would get 40 of its 36, so it is dense; 18 of 36 are left.
    assert allocate(ER, {"a": (2, 2, 3, 3), "b": (6, 6)}, 0.75) == {"a": 36, "b": 18}


def test_without_a_cap_the_ratio_of_densities_is_that_of_the_formula() -> None:
    densities = ER({"a": (10, 20, 3, 3), "b": (50, 40, 5, 5)}, 0.1)
    assert densities["a"] / densities["b"] == pytest.approx((30 / 200) / (90 / 2000))


@pytest.mark.parametrize("density", [0.1, 0.3, 0.5])
def test_the_budget_of_resnet_50_is_met_where_no_cap_would_miss_it(resnet50, density) -> None:
    # Without the second solve a target of 0.5 comes out as 0.43 (and worse), one of 0.3 as 0.283.
    counts = allocate(ER, resnet50, density)
    assert sum(counts.values()) == round(density * sum(map(math.prod, resnet50.values())))
