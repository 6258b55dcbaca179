"""Which weights to grow: rules that mark exactly as many of the candidates as asked for."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Protocol

from torch import Tensor

from rarefy.masks import random_choice
from rarefy.registry import Registry
from rarefy.topology._select import highest, magnitude
from rarefy.topology._update import Layer


class Grow(Protocol):
    """A grow rule: a frozen dataclass registered in ``GROWS``."""

    @property
    def needs(self) -> frozenset[str]:
        """What the layer must carry: a subset of ``{"gradient", "momentum"}``."""
        ...

    def __call__(self, layer: Layer, among: Tensor, count: int, key: int) -> Tensor:
        """Marks exactly ``count`` of the candidates ``among``; ``key`` decides what is random."""
        ...


GROWS: Registry[Grow] = Registry("grow rule", "grows")


@GROWS.register("random")
@dataclasses.dataclass(frozen=True)
class Random:
    """Any weights, each with the same chance: those with the smallest hash under the key, the same on every machine."""

    needs: ClassVar[frozenset[str]] = frozenset()

    def __call__(self, layer: Layer, among: Tensor, count: int, key: int) -> Tensor:
        """Marks exactly ``count`` candidates."""
        return random_choice(key, among, count)


@GROWS.register("random_unfired")
@dataclasses.dataclass(frozen=True)
class RandomUnfired:
    """Weights that were never kept before, at random; others only once those have run out.

    References:
        Liu et al., 2021, arXiv:2102.02887 (the ``random_unfired`` growth of its code).
    """

    needs: ClassVar[frozenset[str]] = frozenset()

    def __call__(self, layer: Layer, among: Tensor, count: int, key: int) -> Tensor:
        """Marks exactly ``count`` candidates."""
        unfired = among & ~layer.explored
        first = min(count, int(unfired.count_nonzero()))
        return random_choice(key, unfired, first) | random_choice(key, among & ~unfired, count - first)


@GROWS.register("gradient")
@dataclasses.dataclass(frozen=True)
class Gradient:
    """The weights with the largest ``|gradient|``: those that would change the loss most.

    References:
        Evci et al., 2020, arXiv:1911.11134, section 3.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})

    def __call__(self, layer: Layer, among: Tensor, count: int, key: int) -> Tensor:
        """Marks exactly ``count`` candidates; equal gradients go to the lower flat index."""
        return highest(magnitude(layer.signal("gradient")), among, count)


@GROWS.register("momentum")
@dataclasses.dataclass(frozen=True)
class Momentum:
    """The weights with the largest ``|momentum|``: those whose gradients agreed over many steps.

    References:
        Dettmers and Zettlemoyer, 2019, arXiv:1907.04840, section 3.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"momentum"})

    def __call__(self, layer: Layer, among: Tensor, count: int, key: int) -> Tensor:
        """Marks exactly ``count`` candidates; equal momenta go to the lower flat index."""
        return highest(magnitude(layer.signal("momentum")), among, count)
