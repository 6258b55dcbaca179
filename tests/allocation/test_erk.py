"""ERK against hand calculation, the paper's networks and the fixed-point loop of RigL."""

from __future__ import annotations

import math

import pytest

from rarefy.allocation import ALLOCATIONS, allocate

ERK = ALLOCATIONS.build("erk")


def test_by_hand() -> None:
    # Sums of dimensions 4 and 20; 26 weights; 4 * 26/24 > 4, so small is dense and big takes the other 22.
    assert allocate(ERK, {"small": (2, 2), "big": (10, 10)}, 0.25) == {"small": 4, "big": 22}


def test_a_kernel_of_any_number_of_dimensions_counts_the_sum_of_its_sides() -> None:
    shapes = {"linear": (20, 30), "conv1d": (20, 25, 5), "conv3d": (20, 24, 2, 2, 2), "depthwise": (44, 1, 3, 2)}
    assert allocate(ERK, shapes, 200 / sum(map(math.prod, shapes.values()))) == dict.fromkeys(shapes, 50)


@pytest.mark.parametrize(
    ("density", "first", "fc", "shortcut", "last"),
    [(0.1, 0.983, 1.0, 1.0, 0.062), (0.05, 0.475, 0.949, None, 0.030)],
)
def test_resnet_20_has_the_known_densities(cifar_resnet, density, first, fc, shortcut, last) -> None:
    densities = ERK(cifar_resnet(20), density)
    assert sum(math.prod(shape) for shape in cifar_resnet(20).values()) == 270_896
    assert densities["conv.weight"] == pytest.approx(first, abs=6e-4)
    assert densities["fc.weight"] == pytest.approx(fc, abs=6e-4)
    assert densities["2.2.conv2.weight"] == pytest.approx(last, abs=6e-4)
    if shortcut is None:
        assert max(densities.values()) < 1
    else:
        dense = {name for name, value in densities.items() if value == 1}
        assert dense == {"fc.weight", "1.0.shortcut.weight"}


def test_resnet_110_has_three_dense_layers(cifar_resnet) -> None:
    densities = ERK(cifar_resnet(110), 0.1)
    assert sum(value == 1 for value in densities.values()) == 3
    assert densities["2.17.conv2.weight"] == pytest.approx(0.071, abs=6e-4)


@pytest.mark.parametrize(("density", "fc"), [(0.5, 1.0), (0.4, 0.755), (0.3, 0.496), (0.2, 0.318), (0.1, 0.153)])
def test_wide_resnet_50_has_the_known_classifier_density(wide_resnet50, density, fc) -> None:
    counts = allocate(ERK, wide_resnet50, density)
    assert counts["fc.weight"] / 2_048_000 == pytest.approx(fc, abs=6e-4)
    assert sum(counts.values()) == round(density * 68_814_016)


@pytest.mark.parametrize("density", [0.05, 0.2, 0.5, 0.9])
def test_resnet_50_is_what_the_loop_of_rigl_gives(resnet50, density) -> None:
    ours, theirs = ERK(resnet50, density), rigl(resnet50, density)
    assert ours == pytest.approx(theirs, abs=1e-6)


def rigl(shapes, density):
    """Evci et al.: solve for epsilon, make dense the layers above 1, solve again."""
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    raw = {name: sum(shape) / sizes[name] for name, shape in shapes.items()}
    dense: set[str] = set()
    while True:
        budget = density * sum(sizes.values()) - sum(sizes[name] for name in dense)
        epsilon = budget / sum(raw[name] * sizes[name] for name in shapes if name not in dense)
        above = {name for name in shapes if name not in dense and epsilon * raw[name] > 1}
        if not above:
            return {name: 1.0 if name in dense else epsilon * raw[name] for name in shapes}
        dense |= above
