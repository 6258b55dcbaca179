"""Gale et al.'s rule by hand, and the budget that the paper's code misses."""

from __future__ import annotations

import pytest

from rarefy.allocation import ALLOCATIONS, InfeasibleDensity, allocate

RULE = ALLOCATIONS.build("uniform_plus")
SHAPES = {"first": (2, 5), "body1": (8, 10), "body2": (10, 12), "last": (5, 8)}  # 10 + 80 + 120 + 40 = 250


def test_below_a_fifth_the_last_layer_stays_at_a_fifth() -> None:
    # 25 = 10 + 8 + 7, and 7 of the 200 weights between are 2.8 and 4.2.
    assert allocate(RULE, SHAPES, 0.1) == {"first": 10, "body1": 3, "body2": 4, "last": 8}


def test_from_a_fifth_on_the_last_layer_goes_along_and_the_body_pays_for_the_first() -> None:
    # 125 = 10 + 20 + 95, and 95 of 200 is 0.475.
    assert allocate(RULE, SHAPES, 0.5) == {"first": 10, "body1": 38, "body2": 57, "last": 20}


def test_resnet_20_keeps_a_tenth_where_the_papers_code_keeps_less(cifar_resnet) -> None:
    counts = allocate(RULE, cifar_resnet(20), 0.1)
    assert sum(counts.values()) == 27_090
    assert counts["conv.weight"] == 432
    assert counts["fc.weight"] == 128


def test_the_smallest_density_is_named_and_right() -> None:
    with pytest.raises(InfeasibleDensity, match=r"smallest density that works is 0\.08;") as error:
        allocate(RULE, SHAPES, 0.05)
    # 10 + 8 + one for each of two layers = 20 of 250.
    assert error.value.nearest == 0.08
    assert allocate(RULE, SHAPES, 0.08) == {"first": 10, "body1": 1, "body2": 1, "last": 8}
    with pytest.raises(InfeasibleDensity):
        allocate(RULE, SHAPES, 19 / 250)


def test_the_smallest_density_above_a_fifth_accounts_for_the_growing_last_layer() -> None:
    # 30 dense + 1 + d * 20 of N = 52 reach the budget d * N from d = 31 / 32: 50 = 30 + 1 + 19.
    shapes = {"first": (5, 6), "body": (2,), "last": (4, 5)}
    with pytest.raises(InfeasibleDensity) as error:
        allocate(RULE, shapes, 0.5)
    assert allocate(RULE, shapes, error.value.nearest) == {"first": 30, "body": 1, "last": 19}
    with pytest.raises(InfeasibleDensity):
        allocate(RULE, shapes, 49 / 52)


def test_two_layers_and_one() -> None:
    assert allocate(RULE, {"first": (10,), "last": (40,)}, 0.4) == {"first": 10, "last": 10}
    with pytest.raises(InfeasibleDensity, match=r"0\.36"):
        allocate(RULE, {"first": (10,), "last": (40,)}, 0.3)
    assert allocate(RULE, {"only": (10,)}, 1.0) == {"only": 10}
    with pytest.raises(InfeasibleDensity, match=r"only density that works is 1\.0"):
        allocate(RULE, {"only": (10,)}, 0.5)
