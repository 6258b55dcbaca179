"""Arithmetic of the rules: the budget, its division among layers, rounding to whole weights."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Callable, Mapping, Sequence

from rarefy.errors import InvalidInput, RarefyError

Shapes = Mapping[str, tuple[int, ...]]

TOLERANCE = 0.75
"""Weights by which a rule's densities may miss the budget: rounding the budget costs 0.5, the rest is float noise.

Below 1, so that one pass of largest remainder always reaches the budget.
"""


class InfeasibleDensity(RarefyError, ValueError):
    """A density that a rule cannot reach; the message says the nearest density that it can.

    Attributes:
        nearest: That density.
    """

    nearest: float


def count_weights(shapes: Shapes) -> dict[str, int]:
    """Counts the weights of each layer."""
    return {name: math.prod(shape) for name, shape in shapes.items()}


def find_shortest_density(count: int, total: int) -> float:
    """Finds the shortest decimal density with a budget of exactly ``count`` of ``total`` weights."""
    candidates = (round(count / total, digits) for digits in itertools.count(1))
    return next(density for density in candidates if 0 < density <= 1 and round(density * total) == count)


def share_budget(
    shapes: Shapes,
    density: float,
    weights: Mapping[str, float],
    fixed: Callable[[int], Mapping[str, int]] = lambda budget: {},
) -> dict[str, float]:
    """Divides the budget among layers in proportion to ``weights``; returns densities.

    No layer gets less than one weight or more than it has; the difference is divided among the other layers again.

    Args:
        shapes: Layer name to weight shape.
        density: Fraction of weights kept over all layers, in (0, 1].
        weights: Layer name to its positive share; read for layers that are not fixed.
        fixed: Budget to {layer: weights it keeps whatever the others do}; each count must not fall as the budget
            grows, and the sum must not grow faster than the budget.

    Raises:
        InfeasibleDensity: If the fixed layers leave the others less than one weight each, or more than they have.
    """
    sizes = count_weights(shapes)
    budget = round(density * sum(sizes.values()))
    quotas: dict[str, float] = dict(fixed(budget))
    free = [name for name in shapes if name not in quotas]
    _check_free_budget(sizes, density, free, lambda count: count - sum(fixed(count).values()))
    rest = budget - sum(quotas.values())
    quotas |= zip(
        free, _water_fill([weights[name] for name in free], [sizes[name] for name in free], rest), strict=True
    )
    return {name: quotas[name] / sizes[name] for name in shapes}


def solve_budget(
    shapes: Shapes, density: float, compute_densities: Callable[[float], Mapping[str, float]]
) -> dict[str, float]:
    """Finds the level in [0, 1] at which the layers' densities meet the budget; returns those densities.

    No layer gets less than one weight; the difference is divided among the other layers by another level.

    Args:
        shapes: Layer name to weight shape.
        density: Fraction of weights kept over all layers, in (0, 1]; it allows at least one weight per layer.
        compute_densities: Level to densities in [0, 1], which do not fall as the level rises: all 0 at 0, all 1 at 1.
    """
    sizes = count_weights(shapes)
    budget = round(density * sum(sizes.values()))

    def fill(level: float) -> dict[str, float]:
        return {name: max(value, 1 / sizes[name]) for name, value in compute_densities(level).items()}

    low, high = 0.0, 1.0
    while low < (middle := (low + high) / 2) < high:
        if math.fsum(value * sizes[name] for name, value in fill(middle).items()) < budget:
            low = middle
        else:
            high = middle
    return fill(high)


def _check_free_budget(
    sizes: Mapping[str, int], density: float, free: Sequence[str], free_budget: Callable[[int], int]
) -> None:
    total = sum(sizes.values())
    budget, most = round(density * total), sum(sizes[name] for name in free)
    if len(free) <= free_budget(budget) <= most:
        return
    # `free_budget` never falls as the budget grows, so the first and the last budget that fit are found by bisection.
    budgets = range(1, total + 1)
    first = budgets[bisect.bisect_left(budgets, len(free), key=free_budget)]
    last = budgets[bisect.bisect_right(budgets, most, key=free_budget) - 1]
    small = budget < first
    nearest = find_shortest_density(first if small else last, total)
    word = "only" if first == last else "smallest" if small else "largest"
    others = "every other layer keeps at least one" if small else "the other layers have too few to take the rest"
    raise InfeasibleDensity(
        f"Density {density} is too {'small' if small else 'large'}: it keeps {budget:,} of {total:,} weights, but this "
        f"allocation fixes layers that keep {budget - free_budget(budget):,}{f' and {others}' if free else ''}. "
        f"The {word} density that works is {nearest}; ask for it, or fix less.",
        nearest=nearest,
    )


def _water_fill(weights: Sequence[float], sizes: Sequence[int], total: float) -> list[float]:
    """Computes ``clip(level * weight, 1, size)`` at the level where the sum is ``total`` (water-filling)."""

    def fill(level: float) -> list[float]:
        return [min(max(level * weight, 1.0), float(size)) for weight, size in zip(weights, sizes, strict=True)]

    if not weights:
        return []
    # The sum is linear in the level between the points where a layer leaves its minimum or reaches its size.
    points = sorted({bound / weight for weight, size in zip(weights, sizes, strict=True) for bound in (1, size)})
    start = points[max(bisect.bisect_right(points, total, key=lambda level: sum(fill(level))) - 1, 0)]
    slope = sum(w for w, size in zip(weights, sizes, strict=True) if 1 / w <= start < size / w)
    return fill(start + (total - sum(fill(start))) / slope if slope else start)


def round_quotas(quotas: Mapping[str, float], sizes: Mapping[str, int], budget: int) -> dict[str, int]:
    """Rounds quotas to whole numbers that add up to the budget, by largest remainder; of equal ones the first wins.

    Remainders are compared to six decimals, so that float noise decides no tie.

    Args:
        quotas: Name to what it should get; the sum misses the budget by less than 1.
        sizes: Name to the most it can get.
        budget: What the numbers add up to.

    Example:
        >>> round_quotas({"a": 1.5, "b": 2.5, "c": 0.25}, {"a": 9, "b": 9, "c": 9}, 4)
        {'a': 2, 'b': 2, 'c': 0}
    """
    counts = {name: math.floor(quota) for name, quota in quotas.items()}
    by_remainder = sorted(
        (name for name in counts if counts[name] < sizes[name]),
        key=lambda name: -round(quotas[name] - counts[name], 6),
    )
    for name in by_remainder[: budget - sum(counts.values())]:
        counts[name] += 1
    return counts


def check_fc_density(value: float) -> None:
    """Raises InvalidInput unless it is a fraction of the classifier's weights, in (0, 1]."""
    if not 0 < value <= 1:
        raise InvalidInput(
            f"fc_density is the fraction of the classifier kept, in (0, 1]; got {value}.",
            name="fc_density",
            value=value,
        )


def raise_to_least(counts: Mapping[str, int], least: Mapping[str, int]) -> dict[str, int]:
    """Raises counts to the least that their layers may keep, weight by weight.

    Each weight is taken from the layer that keeps most above its least (ties: the first registered).

    Args:
        counts: Name to number of weights; their sum does not change.
        least: Name to the least number; the sum is at most that of the counts.

    Example:
        >>> raise_to_least({"a": 0, "b": 7, "c": 5}, {"a": 2, "b": 1, "c": 1})
        {'a': 2, 'b': 5, 'c': 5}
    """
    counts = dict(counts)
    for name in counts:
        while counts[name] < least[name]:
            counts[max(counts, key=lambda other: counts[other] - least[other])] -= 1
            counts[name] += 1
    return counts
