"""Ideal gas quotas by hand, and their force on known networks."""

from __future__ import annotations

import math

import pytest

from rarefy.allocation import ALLOCATIONS, allocate

IGQ = ALLOCATIONS.build("igq")


def test_by_hand() -> None:
    # F = 0.05: the first keeps 1 / (1 + 0.05 * 20) = 1/2 of 20, the second 1 / (1 + 0.05 * 80) = 1/5 of 80.
    assert allocate(IGQ, {"a": (1, 20), "b": (4, 20)}, 0.26) == {"a": 10, "b": 16}


@pytest.mark.parametrize("density", [0.001, 0.05, 0.5, 0.99])
def test_one_force_holds_in_every_layer(resnet50, density) -> None:
    densities = IGQ(resnet50, density)
    forces = [(1 / densities[name] - 1) / math.prod(shape) for name, shape in resnet50.items()]
    assert forces == pytest.approx([forces[0]] * len(forces), rel=1e-6)


@pytest.mark.parametrize(
    ("density", "kept"),
    [(0.1, (15157.9, 10520.4, 941.9)), (0.01, (1086.2, 1053.0, 521.8)), (0.001, (91.5, 91.3, 83.9))],
)
def test_the_quotas_of_lenet_300_100_are_the_authors(density, kept) -> None:
    # As igq_quotas prints them in the code that the authors released with the paper.
    shapes = {"1": (300, 784), "2": (100, 300), "3": (10, 100)}
    assert list(allocate(IGQ, shapes, density).values()) == pytest.approx(kept, abs=1.5)
