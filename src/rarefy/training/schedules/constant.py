"""Constant learning rate."""

from __future__ import annotations

import dataclasses

from rarefy.training.schedules._registry import SCHEDULES


@SCHEDULES.register("constant")
@dataclasses.dataclass(frozen=True)
class Constant:
    """Constant learning rate.

    Example:
        >>> Constant()(step=100, epochs=2, steps_per_epoch=50)
        1.0
    """

    def __call__(self, step: int, epochs: int, steps_per_epoch: int) -> float:
        """Returns 1."""
        return 1.0
