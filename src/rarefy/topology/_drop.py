"""Which kept weights to drop: rules that mark exactly as many as asked for (``threshold``: at most as many)."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Protocol

from torch import Tensor

from rarefy.errors import InvalidInput
from rarefy.registry import Registry
from rarefy.topology._select import lowest, magnitude
from rarefy.topology._update import Layer


class Drop(Protocol):
    """A drop rule: a frozen dataclass registered in ``DROPS``."""

    @property
    def needs(self) -> frozenset[str]:
        """What the layer must carry: a subset of ``{"gradient", "momentum"}``."""
        ...

    def __call__(self, layer: Layer, count: int) -> Tensor:
        """Marks at most ``count`` of the kept weights; equal scores go to the lower flat index."""
        ...


DROPS: Registry[Drop] = Registry("drop rule", "drops")


@DROPS.register("magnitude")
@dataclasses.dataclass(frozen=True)
class Magnitude:
    """The weights nearest to 0."""

    needs: ClassVar[frozenset[str]] = frozenset()

    def __call__(self, layer: Layer, count: int) -> Tensor:
        """Marks exactly ``count`` kept weights."""
        return lowest(magnitude(layer.weight), layer.mask, count)


@DROPS.register("set")
@dataclasses.dataclass(frozen=True)
class SmallestOfEachSign:
    """The smallest positive and the largest negative weights, the same fraction of either kind.

    ``round(count * positives / kept)`` are positive (half up), the others negative. A weight of exactly 0 is positive.

    References:
        Mocanu et al., 2018, arXiv:1707.04780, algorithm 1.
    """

    needs: ClassVar[frozenset[str]] = frozenset()

    def __call__(self, layer: Layer, count: int) -> Tensor:
        """Marks exactly ``count`` kept weights."""
        positive = layer.mask & (layer.weight >= 0)
        negative = layer.mask & ~positive
        kept = max(1, layer.kept)
        share = (2 * count * int(positive.count_nonzero()) + kept) // (2 * kept)
        size = magnitude(layer.weight)
        return lowest(size, positive, share) | lowest(size, negative, count - share)


@DROPS.register("threshold")
@dataclasses.dataclass(frozen=True)
class Threshold:
    """The weights with ``|w| < level``, the smallest first, never more than asked for.

    Args:
        level: What a weight has to reach to stay.
    """

    level: float = 0.001
    needs: ClassVar[frozenset[str]] = frozenset()

    def __call__(self, layer: Layer, count: int) -> Tensor:
        """Marks at most ``count`` kept weights."""
        size = magnitude(layer.weight)
        below = layer.mask & (size < self.level)
        return lowest(size, below, min(count, int(below.count_nonzero())))


@DROPS.register("taylor")
@dataclasses.dataclass(frozen=True)
class Taylor:
    """The weights whose loss changes least without them, to first order: ``|w * gradient|``.

    References:
        Molchanov et al., 2019, arXiv:1906.10771, section 3.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})

    def __call__(self, layer: Layer, count: int) -> Tensor:
        """Marks exactly ``count`` kept weights."""
        return lowest(magnitude(layer.weight) * magnitude(layer.signal("gradient")), layer.mask, count)


@DROPS.register("mest")
@dataclasses.dataclass(frozen=True)
class WeightAndGradient:
    """The weights with the smallest ``|w| + gradient_weight * |gradient|``: small, and about to stay small.

    Args:
        gradient_weight: The paper's lambda, at least 0.

    References:
        Yuan et al., 2021, arXiv:2110.14032, section 3.
    """

    gradient_weight: float = 0.01
    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})

    def __post_init__(self) -> None:
        if not self.gradient_weight >= 0:
            raise InvalidInput(
                f"gradient_weight has to be 0 or more, got {self.gradient_weight}.",
                name="gradient_weight",
                value=self.gradient_weight,
            )

    def __call__(self, layer: Layer, count: int) -> Tensor:
        """Marks exactly ``count`` kept weights."""
        score = magnitude(layer.weight) + self.gradient_weight * magnitude(layer.signal("gradient"))
        return lowest(score, layer.mask, count)
