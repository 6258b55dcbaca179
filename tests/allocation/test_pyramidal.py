"""Pyramidal densities by hand, and against the root that NumPy finds as the authors do."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rarefy.allocation import ALLOCATIONS, allocate

PYRAMIDAL = ALLOCATIONS.build("pyramidal")


def test_by_hand() -> None:
    # 20 * p + 80 * p ** 2 = 30 at p = 0.5
    assert allocate(PYRAMIDAL, {"a": (1, 20), "b": (4, 20)}, 0.3) == {"a": 10, "b": 20}


@pytest.mark.parametrize("density", [0.05, 0.2, 0.7])
def test_densities_are_powers_of_the_polynomials_root(cifar_resnet, density) -> None:
    shapes = cifar_resnet(20)
    sizes = [math.prod(shape) for shape in shapes.values()]
    roots = np.roots([*sizes[::-1], -round(density * sum(sizes))])
    (root,) = (value.real for value in roots if abs(value.imag) < 1e-12 and 0 < value.real < 1)
    densities = PYRAMIDAL(shapes, density)
    assert list(densities.values()) == pytest.approx([root**place for place in range(1, len(sizes) + 1)])


def test_deep_layers_keep_at_least_one_weight_and_the_count_is_exact() -> None:
    shapes = {str(place): (10, 10) for place in range(60)}
    counts = allocate(PYRAMIDAL, shapes, 0.02)  # p is about 0.44: from the sixth layer on less than one weight
    assert sum(counts.values()) == 120
    assert counts["0"] > counts["1"] > counts["2"]
    assert set(list(counts.values())[10:]) == {1}
