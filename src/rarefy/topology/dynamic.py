"""Any drop rule with any grow rule, redistribution and schedule."""

from __future__ import annotations

import dataclasses
import functools

from rarefy.topology._drop_and_grow import DropAndGrow, UpdateRules
from rarefy.topology._drops import DROPS
from rarefy.topology._update import TOPOLOGIES


@TOPOLOGIES.register("dynamic")
@dataclasses.dataclass(frozen=True)
class Dynamic(DropAndGrow):
    """The free composition that the flags of the paper's code select.

    ``--death`` is ``drop``, ``--growth`` is ``grow``, ``--redistribution`` is ``redistribute``, ``--death-rate`` is
    ``fraction``, ``--update_frequency`` is ``interval`` and ``--decay-schedule`` is ``schedule``.

    Args:
        drop: A name of ``DROPS``: ``magnitude``, ``set``, ``threshold``, ``taylor`` or ``mest``.
        grow: A name of ``GROWS``: ``random``, ``random_unfired``, ``gradient`` or ``momentum``.
        redistribute: A name of ``REDISTRIBUTIONS``: ``none``, ``momentum``, ``magnitude`` or ``nonzeros``.
        schedule: A name of ``SCHEDULES``: ``cosine``, ``linear`` or ``constant``.
        fraction: Fraction of a layer's weights dropped at first, in (0, 1).
        interval: Optimizer steps between updates.
        stop: Fraction of all steps after which nothing moves.
        drop_options: Options of the drop rule, such as ``{"level": 0.01}`` for ``threshold``.
        regrow: Whether a weight dropped in an update may grow again in it, and then keeps its value, as in the released
            code.

    Example:
        >>> Dynamic(drop="taylor", grow="momentum").needs == {"gradient", "momentum"}
        True
    """

    drop: str = "magnitude"
    grow: str = "random"
    redistribute: str = "none"
    schedule: str = "cosine"
    fraction: float = 0.5
    interval: int = 100
    stop: float = 1.0
    drop_options: dict[str, float] = dataclasses.field(default_factory=dict, hash=False)
    regrow: bool = False

    @functools.cached_property
    def rules(self) -> UpdateRules:
        """The parts as named."""
        return self.build_rules(DROPS.build(self.drop, **self.drop_options), self.grow, self.redistribute)
