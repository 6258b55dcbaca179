"""Sparse evolutionary training."""

from __future__ import annotations

import dataclasses
import functools
from typing import ClassVar

from rarefy.topology._drop_and_grow import DropAndGrow, UpdateRules
from rarefy.topology._update import TOPOLOGIES


@TOPOLOGIES.register("set")
@dataclasses.dataclass(frozen=True)
class SparseEvolutionaryTraining(DropAndGrow):
    """Drops the smallest weights, grows as many at random.

    Needs nothing but the weights, so an update costs no dense gradient. By default the fraction falls as RigL's does;
    the original is ``drop="set", schedule="constant", stop=1`` with an interval of one epoch.

    Args:
        fraction: Fraction of a layer's weights dropped at first, in (0, 1); the paper's zeta.
        interval: Optimizer steps between updates.
        schedule: How the fraction falls: ``cosine``, ``linear`` or ``constant``.
        stop: Fraction of all steps after which nothing moves.
        drop: ``magnitude``, or ``set`` for the original rule (the same fraction of positive and negative weights).
        regrow: Whether a weight dropped in an update may grow again in it, and then keeps its value, as in the released
            code.

    Example:
        >>> SparseEvolutionaryTraining(interval=50).is_due(50, 1000)
        True

    References:
        Mocanu et al., 2018, arXiv:1707.04780, algorithm 1.
    """

    title: ClassVar[str] = "SET"
    fraction: float = 0.3
    interval: int = 100
    schedule: str = "cosine"
    stop: float = 0.75
    drop: str = "magnitude"
    regrow: bool = False

    @functools.cached_property
    def rules(self) -> UpdateRules:
        """Drop by size, grow at random."""
        return self.build_rules(self.drop, "random")
