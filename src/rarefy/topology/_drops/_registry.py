"""The protocol of a drop rule and the registry of them."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from rarefy.registry import Registry
from rarefy.topology._update import Layer


class DropRule(Protocol):
    """A choice of kept weights that leave the mask: a frozen dataclass registered in ``DROPS``.

    A rule whose scores add up over a group of weights has the class constant ``moves_groups = True``.
    """

    @property
    def needs(self) -> frozenset[str]:
        """What the layer must carry: a subset of ``{"gradient", "momentum"}``."""
        ...

    def __call__(self, layer: Layer, count: int) -> Tensor:
        """Marks exactly ``count`` kept weights (``threshold``: at most); of equal scores the lower flat index goes."""
        ...


DROPS: Registry[DropRule] = Registry("drop rule", "drops")
