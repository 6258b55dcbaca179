"""How many weights each layer grows back: its own, or a share of what the whole network dropped."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol

from rarefy.allocation import round_quotas
from rarefy.registry import Registry
from rarefy.topology._select import magnitude
from rarefy.topology._update import Layer, Scope

_NEARLY_FULL = 0.2  # of a layer's weights are pruned


class Redistribution(Protocol):
    """A redistribution rule: a frozen dataclass registered in ``REDISTRIBUTIONS``."""

    @property
    def needs(self) -> frozenset[str]:
        """What the layers must carry: a subset of ``{"gradient", "momentum"}``."""
        ...

    @property
    def scope(self) -> Scope:
        """``"layer"`` if every layer grows as many as it dropped, else ``"network"``."""
        ...

    def fractions(self, layers: Sequence[Layer], fraction: float) -> dict[str, float]:
        """Gives the fraction of its weights that each layer drops, where the schedule says ``fraction``."""
        ...

    def __call__(self, layers: Sequence[Layer], dropped: Mapping[str, int]) -> dict[str, int]:
        """Weights each layer grows, adding up to all that were dropped."""
        ...


REDISTRIBUTIONS: Registry[Redistribution] = Registry("redistribution", "redistributions")


@REDISTRIBUTIONS.register("none")
@dataclasses.dataclass(frozen=True)
class Stay:
    """Every layer grows as many weights as it dropped."""

    needs: ClassVar[frozenset[str]] = frozenset()
    scope: ClassVar[Scope] = "layer"

    def fractions(self, layers: Sequence[Layer], fraction: float) -> dict[str, float]:
        """Gives every layer the same fraction."""
        return {layer.name: fraction for layer in layers}

    def __call__(self, layers: Sequence[Layer], dropped: Mapping[str, int]) -> dict[str, int]:
        """Weights each layer grows."""
        return dict(dropped)


class Shared(abc.ABC):
    """A rule by which layers take shares of what the network dropped: subclasses say only what a share goes by."""

    scope: ClassVar[Scope] = "network"

    @abc.abstractmethod
    def share(self, layer: Layer) -> float:
        """Measures what the layer's share is in proportion to, at least 0."""

    def fractions(self, layers: Sequence[Layer], fraction: float) -> dict[str, float]:
        """Gives every layer the same fraction, but less to one that is nearly full and takes more than the mean share.

        Where less than a fifth of a layer is pruned, and its share is above the mean, no larger a fraction than that of
        its pruned weights: what it dropped beyond that, it could only take back.

        References:
            Dettmers and Zettlemoyer, 2019, ``adjust_prune_rate`` of the released code.
        """
        shares = {layer.name: self.share(layer) for layer in layers}
        mean = math.fsum(shares.values()) / max(1, len(layers))
        pruned = {layer.name: (layer.mask.numel() - layer.kept) / layer.mask.numel() for layer in layers}
        full = {name for name in shares if pruned[name] < _NEARLY_FULL and shares[name] > mean}
        return {name: min(fraction, pruned[name]) if name in full else fraction for name in shares}

    def __call__(self, layers: Sequence[Layer], dropped: Mapping[str, int]) -> dict[str, int]:
        """Weights each layer grows."""
        shares = {layer.name: self.share(layer) for layer in layers}
        if not any(shares.values()):  # nothing to go by: every layer takes back its own
            return dict(dropped)
        room = {layer.name: layer.mask.numel() - layer.kept + dropped[layer.name] for layer in layers}
        return apportion(sum(dropped.values()), shares, room)


@REDISTRIBUTIONS.register("momentum")
@dataclasses.dataclass(frozen=True)
class ByMomentum(Shared):
    """In proportion to the mean ``|momentum|`` of a layer's kept weights.

    References:
        Dettmers and Zettlemoyer, 2019, arXiv:1907.04840, section 3.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"momentum"})

    def share(self, layer: Layer) -> float:
        """Averages the kept weights' momentum."""
        return _mean(layer, "momentum")


@REDISTRIBUTIONS.register("magnitude")
@dataclasses.dataclass(frozen=True)
class ByMagnitude(Shared):
    """In proportion to the mean ``|w|`` of a layer's kept weights."""

    needs: ClassVar[frozenset[str]] = frozenset()

    def share(self, layer: Layer) -> float:
        """Averages the kept weights' magnitude."""
        return _mean(layer, "weight")


@REDISTRIBUTIONS.register("nonzeros")
@dataclasses.dataclass(frozen=True)
class ByNonzeros(Shared):
    """In proportion to the number of a layer's kept weights."""

    needs: ClassVar[frozenset[str]] = frozenset()

    def share(self, layer: Layer) -> float:
        """Counts the kept weights."""
        return float(layer.kept)


def apportion(total: int, shares: Mapping[str, float], room: Mapping[str, int]) -> dict[str, int]:
    """Integers in proportion to ``shares`` that add up to ``total``, none above its ``room``.

    What has no room is filled, and the rest divided among the others; then by largest remainder, ties by name. Those
    without a share get any only when nothing with a share has room left, and then in proportion to their room.

    Args:
        total: What to divide, at most the sum of ``room``.
        shares: Name to non-negative share.
        room: Name to the most it can take.

    Returns:
        Name to integer, the same whatever the order of the names.

    Example:
        >>> apportion(10, {"a": 1.0, "b": 1.0, "c": 2.0}, {"a": 9, "b": 1, "c": 9})
        {'a': 3, 'b': 1, 'c': 6}
    """
    given = dict.fromkeys(room, 0)
    while total > 0:
        open_ = {name: room[name] - given[name] for name in room if given[name] < room[name]}
        weights = {name: shares[name] for name in open_ if shares[name] > 0} or dict(open_)
        whole = math.fsum(weights.values())
        ideal = {name: total * (weight / whole) for name, weight in weights.items()}
        full = {name: open_[name] for name in ideal if ideal[name] >= open_[name]}
        gain = full or round_quotas(dict(sorted(ideal.items())), open_, total)
        total -= sum(gain.values())
        given.update({name: given[name] + more for name, more in gain.items()})
    return given


def _mean(layer: Layer, name: str) -> float:
    kept = layer.kept
    return float(magnitude(layer.signal(name))[layer.mask].sum()) / kept if kept else 0.0
