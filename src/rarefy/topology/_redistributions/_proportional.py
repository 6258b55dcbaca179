"""Redistribution in proportion to a quantity of each layer."""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

from rarefy.allocation import round_quotas
from rarefy.topology._select import compute_magnitude
from rarefy.topology._update import Layer, Scope

_NEARLY_FULL = 0.2  # of a layer's weights are pruned


class ProportionalRedistribution(abc.ABC):
    """A rule that divides the dropped weights among layers in proportion to a quantity that subclasses measure."""

    scope: ClassVar[Scope] = "network"

    @abc.abstractmethod
    def measure(self, layer: Layer) -> float:
        """Measures the quantity, at least 0."""

    def fractions(self, layers: Sequence[Layer], fraction: float) -> dict[str, float]:
        """Computes the fraction of its weights that each layer drops.

        It is ``fraction``, except in a layer of which less than a fifth is pruned and whose share is above the mean.
        Such a layer drops at most the fraction of its pruned weights, since it could only grow the rest back.

        References:
            Dettmers and Zettlemoyer, 2019, ``adjust_prune_rate`` of the released code.
        """
        shares = {layer.name: self.measure(layer) for layer in layers}
        mean = math.fsum(shares.values()) / max(1, len(layers))
        pruned = {layer.name: (layer.mask.numel() - layer.kept) / layer.mask.numel() for layer in layers}
        full = {name for name in shares if pruned[name] < _NEARLY_FULL and shares[name] > mean}
        return {name: min(fraction, pruned[name]) if name in full else fraction for name in shares}

    def __call__(self, layers: Sequence[Layer], dropped: Mapping[str, int]) -> dict[str, int]:
        """Computes how many weights each layer grows."""
        shares = {layer.name: self.measure(layer) for layer in layers}
        if not any(shares.values()):  # no layer has a share: each grows what it dropped
            return dict(dropped)
        capacities = {layer.name: layer.mask.numel() - layer.kept + dropped[layer.name] for layer in layers}
        return apportion(sum(dropped.values()), shares, capacities)


def apportion(total: int, shares: Mapping[str, float], capacities: Mapping[str, int]) -> dict[str, int]:
    """Divides ``total`` into integers in proportion to ``shares``, none above its capacity.

    Layers that reach their capacity are filled, and the rest is divided among the others, by largest remainder (ties:
    by name). Layers with share 0 get weights only when all others are full, in proportion to their capacity.

    Args:
        total: Integer to divide, at most the sum of ``capacities``.
        shares: Name to non-negative share.
        capacities: Name to the largest integer it can get.

    Returns:
        Name to integer; it does not depend on the order of the names.

    Example:
        >>> apportion(10, {"a": 1.0, "b": 1.0, "c": 2.0}, {"a": 9, "b": 1, "c": 9})
        {'a': 3, 'b': 1, 'c': 6}
    """
    counts = dict.fromkeys(capacities, 0)
    while total > 0:
        free = {name: capacities[name] - counts[name] for name in capacities if counts[name] < capacities[name]}
        weights = {name: shares[name] for name in free if shares[name] > 0} or dict(free)
        weight_sum = math.fsum(weights.values())
        ideal = {name: total * (weight / weight_sum) for name, weight in weights.items()}
        full = {name: free[name] for name in ideal if ideal[name] >= free[name]}
        gain = full or round_quotas(dict(sorted(ideal.items())), free, total)
        total -= sum(gain.values())
        counts.update({name: counts[name] + more for name, more in gain.items()})
    return counts


def average_kept(layer: Layer, name: str) -> float:
    """Averages ``|weight|``, ``|gradient|`` or ``|momentum|`` over a layer's kept weights; 0 if there are none."""
    kept = layer.kept
    return float(compute_magnitude(layer.require(name))[layer.mask].sum()) / kept if kept else 0.0
