"""Balanced layers by hand, and against the authors' formula where it meets the budget."""

from __future__ import annotations

import math

import pytest

from rarefy.allocation import ALLOCATIONS, allocate

BALANCED = ALLOCATIONS.build("balanced")


def test_by_hand() -> None:
    # 65 of 130 weights, 21.67 per layer: the first has 10 and is dense; 55 are left for two layers.
    assert allocate(BALANCED, {"a": (2, 5), "b": (8, 10), "c": (4, 10)}, 0.5) == {"a": 10, "b": 28, "c": 27}


def test_layers_that_are_large_enough_keep_the_budget_over_the_number_of_layers(resnet50) -> None:
    # The authors' X = density * N / L; the smallest layer of a ResNet-50 has 4,096 weights, X at 0.5% is 2,361.
    densities = BALANCED(resnet50, 0.005)
    sizes = {name: math.prod(shape) for name, shape in resnet50.items()}
    share = 0.005 * sum(sizes.values()) / len(sizes)
    assert share < min(sizes.values())
    for name, size in sizes.items():
        assert densities[name] == pytest.approx(share / size, rel=1e-3)


@pytest.mark.parametrize("density", [0.05, 0.3])
def test_a_layer_is_dense_or_keeps_as_many_as_the_others(cifar_resnet, density) -> None:
    shapes = cifar_resnet(20)
    counts = allocate(BALANCED, shapes, density)
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    sparse = {count for name, count in counts.items() if count < sizes[name]}
    assert max(sparse) - min(sparse) <= 1
    assert all(size <= min(sparse) for name, size in sizes.items() if counts[name] == size)
