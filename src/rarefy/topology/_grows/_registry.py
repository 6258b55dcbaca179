"""The protocol of a grow rule and the registry of them."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from rarefy.registry import Registry
from rarefy.topology._update import Layer


class GrowRule(Protocol):
    """A choice of weights that enter the mask: a frozen dataclass registered in ``GROWS``.

    A rule whose scores add up over a group of weights has the class constant ``moves_groups = True``.
    """

    @property
    def needs(self) -> frozenset[str]:
        """What the layer must carry: a subset of ``{"gradient", "momentum"}``."""
        ...

    def __call__(self, layer: Layer, candidates: Tensor, count: int, random_key: int) -> Tensor:
        """Marks exactly ``count`` of the candidates; ``random_key`` is the seed of random choices."""
        ...


GROWS: Registry[GrowRule] = Registry("grow rule", "grows")
