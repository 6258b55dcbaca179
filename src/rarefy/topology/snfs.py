"""Sparse networks from scratch (sparse momentum)."""

from __future__ import annotations

import dataclasses
import functools
from typing import ClassVar

from rarefy.topology._drop_and_grow import DropAndGrow, UpdateRules
from rarefy.topology._update import TOPOLOGIES


@TOPOLOGIES.register("snfs")
@dataclasses.dataclass(frozen=True)
class SparseMomentum(DropAndGrow):
    """Drops the smallest weights, grows those with the largest momentum, in the layers whose momentum is largest.

    Weights move between layers: the count is exact over the network, not in each layer.

    Args:
        fraction: Fraction of a layer's weights dropped at first, in (0, 1).
        interval: Optimizer steps between updates; the paper updates once an epoch.
        schedule: How the fraction falls: ``cosine``, ``linear`` or ``constant``.
        stop: Fraction of all steps after which nothing moves.
        redistribute: What a layer's share is proportional to: ``momentum``, ``magnitude``, ``nonzeros`` or ``none``.
        regrow: Whether a weight dropped in an update may grow again in it, and then keeps its value, as in the released
            code.

    Example:
        >>> SparseMomentum().scope, SparseMomentum(redistribute="none").scope
        ('network', 'layer')

    References:
        Dettmers and Zettlemoyer, 2019, arXiv:1907.04840, section 3.
    """

    title: ClassVar[str] = "SNFS"
    fraction: float = 0.5
    interval: int = 100
    schedule: str = "cosine"
    stop: float = 1.0
    redistribute: str = "momentum"
    regrow: bool = False

    @functools.cached_property
    def rules(self) -> UpdateRules:
        """Drop by size, grow by momentum, redistribute."""
        return self.build_rules("magnitude", "momentum", self.redistribute)
