"""The protocols of allocation rules, their registry, and ``allocate``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from rarefy.allocation._budget import (
    TOLERANCE,
    InfeasibleDensity,
    Shapes,
    count_weights,
    find_shortest_density,
    raise_to_least,
    round_quotas,
)
from rarefy.allocation._probe import Probe, mark_highest
from rarefy.errors import InvalidInput, MethodError
from rarefy.registry import Registry


@runtime_checkable
class DensityRule(Protocol):
    """A rule that needs only shapes; the first key is the first layer, the last key the classifier."""

    def __call__(self, shapes: Shapes, density: float) -> dict[str, float]:
        """Computes the density of each layer, in [0, 1]; over all weights they add up to ``density``."""
        ...


@runtime_checkable
class SaliencyRule(Protocol):
    """A rule that scores every weight of a network; only the number of best scores in each layer is used."""

    def saliency(self, probe: Probe, density: float) -> dict[str, Tensor]:
        """Scores each weight, in the shape of the weight; high scores are kept."""
        ...

    def samples_needed(self, classes: int) -> int:
        """Computes how many class-balanced samples the probe should hold."""
        ...


ALLOCATIONS: Registry[DensityRule | SaliencyRule] = Registry("allocation", "allocations")


def allocate(
    rule: DensityRule | SaliencyRule,
    shapes: Shapes,
    density: float,
    *,
    probe: Probe | None = None,
    least: Mapping[str, int] | None = None,
) -> dict[str, int]:
    """Computes how many weights each layer keeps; the sum is exactly ``round(density * total)``.

    A rule's densities are rounded by largest remainder (ties: the layer registered first). Of a rule that scores
    weights, the ``round(density * total)`` highest scores are counted by layer (ties: the lower position, layers in
    order); their positions are not used, since masks are drawn at random. No layer keeps more weights than it has, and
    every layer keeps at least one, or as many as ``least`` says: a layer with fewer gets them one by one from the layer
    that keeps most above its least (ties: the first registered).

    Args:
        rule: A method of ``ALLOCATIONS``.
        shapes: Layer name to weight shape, ``(out, in, ...)``, in registration order: first layer to classifier.
        density: Fraction of weights kept over all layers, in (0, 1].
        probe: The network and samples for a rule that scores weights; its weights have the names of ``shapes``.
        least: Layer name to the fewest weights that it may keep, from 1 to its size; default: one each.

    Returns:
        Layer name to number of kept weights, in the order of ``shapes``.

    Raises:
        InfeasibleDensity: If the density is too small for the least of all layers, or does not fit what the rule fixes;
            the message says which density works.
        ValueError: If the density is out of range, shapes are missing or empty, the rule needs a probe and has none, or
            the rule's answer breaks its contract.

    Example:
        >>> allocate(ALLOCATIONS.build("erk"), {"small": (2, 2), "big": (10, 10)}, 0.25)
        {'small': 4, 'big': 22}
    """
    sizes = _count_sizes(shapes)
    floor = dict.fromkeys(sizes, 1) if least is None else least
    budget = _compute_budget(sizes, density, floor)
    if isinstance(rule, SaliencyRule):
        kept = mark_highest(_compute_scores(rule, shapes, density, probe), budget)
        counts = {name: int(keep.sum()) for name, keep in kept.items()}
    else:
        counts = round_quotas(_compute_quotas(rule, shapes, density), sizes, budget)
    counts = raise_to_least(counts, floor)
    if sum(counts.values()) != budget or any(not 1 <= count <= sizes[name] for name, count in counts.items()):
        raise MethodError(f"{rule!r} gave {counts}, which breaks the budget of {budget} weights in layers of {sizes}.")
    return counts


def _count_sizes(shapes: Shapes) -> dict[str, int]:
    if not shapes:
        raise InvalidInput("There is no layer to allocate weights to: the mapping of shapes is empty.")
    for name, shape in shapes.items():
        if not shape or any(side < 1 for side in shape):
            raise InvalidInput(f"Layer {name!r} has shape {tuple(shape)}, which holds no weights; leave the layer out.")
    return count_weights(shapes)


def _compute_budget(sizes: Mapping[str, int], density: float, least: Mapping[str, int]) -> int:
    if not 0 < density <= 1:
        raise InvalidInput(
            f"The density is the fraction of weights kept, in (0, 1]; got {density}.", name="density", value=density
        )
    total = sum(sizes.values())
    budget, needed = round(density * total), sum(least.values())
    if budget < needed:
        nearest = find_shortest_density(needed, total)
        layers = f"{len(sizes)} layers"
        reason = f"one for each of {layers}" if needed == len(sizes) else f"the {needed:,} that its {layers} need"
        raise InfeasibleDensity(
            f"Density {density} keeps {budget:,} of {total:,} weights, fewer than {reason}. "
            f"The smallest density that works is {nearest}.",
            nearest=nearest,
        )
    return budget


def _compute_quotas(rule: DensityRule, shapes: Shapes, density: float) -> dict[str, float]:
    densities = rule(shapes, density)
    _check_names(rule, shapes, densities)
    for name, value in densities.items():
        if not -1e-9 <= value <= 1 + 1e-9:  # also false for nan
            raise MethodError(f"{rule!r} gave layer {name!r} the density {value}; it has to be in [0, 1].")
    sizes = count_weights(shapes)
    quotas = {name: min(max(float(densities[name]), 0.0), 1.0) * sizes[name] for name in shapes}
    expected, actual = round(density * sum(sizes.values())), math.fsum(quotas.values())
    if abs(actual - expected) > TOLERANCE:
        raise MethodError(f"{rule!r} misses the budget: its densities keep {actual:.2f} weights instead of {expected}.")
    return quotas


def _compute_scores(rule: SaliencyRule, shapes: Shapes, density: float, probe: Probe | None) -> dict[str, Tensor]:
    if probe is None:
        raise InvalidInput(f"The allocation {_get_name(rule)!r} looks at data to score weights: pass `sample=(x, y)`.")
    _check_names(rule, shapes, probe.weights)
    scores = rule.saliency(probe, density)
    _check_names(rule, shapes, scores)
    for name, score in scores.items():
        if tuple(score.shape) != tuple(shapes[name]):
            raise MethodError(f"{rule!r} scored {name!r} in shape {tuple(score.shape)}, not {tuple(shapes[name])}.")
        if not bool(torch.isfinite(score).all()):
            raise MethodError(f"{rule!r} gave scores in {name!r} that are not finite: look for nan in the network.")
    return {name: scores[name].detach() for name in shapes}


def _check_names(rule: object, shapes: Shapes, given: Mapping[str, object]) -> None:
    if set(given) != set(shapes):
        missing, extra = sorted(set(shapes) - set(given)), sorted(set(given) - set(shapes))
        raise MethodError(f"Layers do not match those of the shapes for {rule!r}: missing {missing}, unknown {extra}.")


def _get_name(rule: DensityRule | SaliencyRule) -> str:
    try:
        return ALLOCATIONS.name_of(rule)
    except ValueError:
        return type(rule).__name__
