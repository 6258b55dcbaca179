"""Uniform densities by hand."""

from __future__ import annotations

import math

import pytest

from rarefy.allocation import ALLOCATIONS, allocate

UNIFORM = ALLOCATIONS.build("uniform")


def test_largest_remainder_by_hand() -> None:
    # Quotas 1.2, 2.7, 3.6 and a budget of round(7.5) = 8: two weights left over, for the largest remainders.
    assert allocate(UNIFORM, {"a": (4,), "b": (9,), "c": (12,)}, 0.3) == {"a": 1, "b": 3, "c": 4}


def test_equal_remainders_go_to_the_layer_registered_first() -> None:
    assert allocate(UNIFORM, {"b": (5,), "a": (5,), "c": (5,)}, 0.3) == {"b": 2, "a": 1, "c": 1}


def test_every_layer_has_the_density_that_was_asked_for(cifar_resnet) -> None:
    shapes = cifar_resnet(20)
    for name, count in allocate(UNIFORM, shapes, 0.1).items():
        assert count == pytest.approx(0.1 * math.prod(shapes[name]), abs=1)


def test_a_layer_too_small_for_the_density_keeps_one_weight() -> None:
    assert allocate(UNIFORM, {"tiny": (2,), "big": (100, 10)}, 0.01) == {"tiny": 1, "big": 9}
