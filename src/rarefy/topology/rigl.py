"""Rigging the lottery."""

from __future__ import annotations

import dataclasses
import functools
from typing import ClassVar

from rarefy.topology._drop_and_grow import DropAndGrow, UpdateRules
from rarefy.topology._update import TOPOLOGIES


@TOPOLOGIES.register("rigl")
@dataclasses.dataclass(frozen=True)
class RigL(DropAndGrow):
    """Drops the smallest weights, grows those with the largest gradient.

    Departs from the paper in one point unless ``regrow`` is set: a weight dropped in an update is not grown in the same
    update, unless there is nothing else to grow.

    Args:
        fraction: Fraction of a layer's weights dropped at first, in (0, 1); the paper's alpha.
        interval: Optimizer steps between updates; the paper's delta T.
        schedule: How the fraction falls: ``cosine``, ``linear`` or ``constant``.
        stop: Fraction of all steps after which nothing moves; the paper's T_end.
        regrow: Whether a weight dropped in an update may grow again in it, and then keeps its value, as in the released
            code.

    Example:
        >>> sorted(RigL().needs), RigL().is_due(700, 1000), RigL().is_due(800, 1000)
        (['gradient'], True, False)

    References:
        Evci et al., 2020, arXiv:1911.11134, algorithm 1.
    """

    title: ClassVar[str] = "RigL"
    fraction: float = 0.3
    interval: int = 100
    schedule: str = "cosine"
    stop: float = 0.75
    regrow: bool = False

    @functools.cached_property
    def rules(self) -> UpdateRules:
        """Drop by size, grow by gradient."""
        return self.build_rules("magnitude", "gradient")
