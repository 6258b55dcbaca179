"""In-time over-parameterisation."""

from __future__ import annotations

import dataclasses
import functools
from typing import ClassVar

from rarefy.topology._drop_and_grow import DropAndGrow, UpdateRules
from rarefy.topology._update import TOPOLOGIES


@TOPOLOGIES.register("itop")
@dataclasses.dataclass(frozen=True)
class InTimeOverParameterization(DropAndGrow):
    """Explores many weights over time: drops a large fraction, but rarely, so that grown weights can become large.

    Args:
        fraction: Fraction of a layer's weights dropped at first, in (0, 1).
        interval: Optimizer steps between updates, long on purpose; trainings of fewer steps need a shorter one.
        schedule: How the fraction falls: ``cosine``, ``linear`` or ``constant``.
        stop: Fraction of all steps after which nothing moves.
        grow: ``random_unfired`` (never kept before, first), ``random`` (the paper's SET-ITOP), ``gradient``
            (RigL-ITOP) or ``momentum``.
        regrow: Whether a weight dropped in an update may grow again in it, and then keeps its value, as in the released
            code.

    Example:
        >>> InTimeOverParameterization(grow="gradient").needs
        frozenset({'gradient'})

    References:
        Liu et al., 2021, arXiv:2102.02887, sections 3 and 4.
    """

    title: ClassVar[str] = "ITOP"
    fraction: float = 0.5
    interval: int = 1500
    schedule: str = "cosine"
    stop: float = 1.0
    grow: str = "random_unfired"
    regrow: bool = False

    @functools.cached_property
    def rules(self) -> UpdateRules:
        """Drop by size, grow what was not tried."""
        return self.build_rules("magnitude", self.grow)
