"""How many weights each layer grows back: its own, or a share of what the whole network dropped."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Protocol

from rarefy.registry import Registry
from rarefy.topology._door import Layer, Scope
from rarefy.topology._select import magnitude


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

    def __call__(self, layers: Sequence[Layer], dropped: Mapping[str, int]) -> dict[str, int]:
        """Weights each layer grows."""
        return dict(dropped)


@REDISTRIBUTIONS.register("momentum")
@dataclasses.dataclass(frozen=True)
class ByMomentum:
    """In proportion to the mean ``|momentum|`` of a layer's kept weights.

    References:
        Dettmers and Zettlemoyer, 2019, arXiv:1907.04840, section 3.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"momentum"})
    scope: ClassVar[Scope] = "network"

    def __call__(self, layers: Sequence[Layer], dropped: Mapping[str, int]) -> dict[str, int]:
        """Weights each layer grows."""
        return _share(layers, dropped, lambda layer: _mean(layer, "momentum"))


@REDISTRIBUTIONS.register("magnitude")
@dataclasses.dataclass(frozen=True)
class ByMagnitude:
    """In proportion to the mean ``|w|`` of a layer's kept weights."""

    needs: ClassVar[frozenset[str]] = frozenset()
    scope: ClassVar[Scope] = "network"

    def __call__(self, layers: Sequence[Layer], dropped: Mapping[str, int]) -> dict[str, int]:
        """Weights each layer grows."""
        return _share(layers, dropped, lambda layer: _mean(layer, "weight"))


@REDISTRIBUTIONS.register("nonzeros")
@dataclasses.dataclass(frozen=True)
class ByNonzeros:
    """In proportion to the number of a layer's kept weights."""

    needs: ClassVar[frozenset[str]] = frozenset()
    scope: ClassVar[Scope] = "network"

    def __call__(self, layers: Sequence[Layer], dropped: Mapping[str, int]) -> dict[str, int]:
        """Weights each layer grows."""
        return _share(layers, dropped, lambda layer: float(layer.kept))


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
        gain = full or _largest_remainder(total, ideal)
        total -= sum(gain.values())
        given.update({name: given[name] + more for name, more in gain.items()})
    return given


def _largest_remainder(total: int, ideal: Mapping[str, float]) -> dict[str, int]:
    floors = {name: math.floor(value) for name, value in ideal.items()}
    by_remainder = sorted(ideal, key=lambda name: (floors[name] - ideal[name], name))
    for name in by_remainder[: total - sum(floors.values())]:
        floors[name] += 1
    return floors


def _share(layers: Sequence[Layer], dropped: Mapping[str, int], share: Callable[[Layer], float]) -> dict[str, int]:
    shares = {layer.name: share(layer) for layer in layers}
    if not any(shares.values()):  # nothing to go by: every layer takes back its own
        return dict(dropped)
    room = {layer.name: layer.mask.numel() - layer.kept + dropped[layer.name] for layer in layers}
    return apportion(sum(dropped.values()), shares, room)


def _mean(layer: Layer, name: str) -> float:
    kept = layer.kept
    return float(magnitude(layer.signal(name))[layer.mask].sum()) / kept if kept else 0.0
