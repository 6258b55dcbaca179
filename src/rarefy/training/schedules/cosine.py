"""Cosine annealing."""

from __future__ import annotations

import dataclasses
import math

from rarefy.errors import InvalidInput
from rarefy.training.schedules._registry import SCHEDULES


@SCHEDULES.register("cosine")
@dataclasses.dataclass(frozen=True)
class Cosine:
    """Cosine annealing per step from 1 to `floor`.

    Args:
        floor: Final factor.

    Example:
        >>> [round(Cosine()(step, epochs=2, steps_per_epoch=2), 3) for step in range(4)]
        [1.0, 0.854, 0.5, 0.146]

    References:
        Loshchilov and Hutter, 2017, arXiv:1608.03983, without restarts.
    """

    floor: float = 0.0

    def __post_init__(self) -> None:
        """Checks the options."""
        if not 0 <= self.floor <= 1:
            raise InvalidInput(f"floor lies in [0, 1]; got {self.floor}")

    def __call__(self, step: int, epochs: int, steps_per_epoch: int) -> float:
        """Returns the factor of a step."""
        progress = step / (epochs * steps_per_epoch)
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * progress))
