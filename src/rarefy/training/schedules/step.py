"""The paper's schedule: division by ten after one half and three quarters of the epochs."""

from __future__ import annotations

import dataclasses
import math

from rarefy.errors import InvalidInput
from rarefy.training.schedules._registry import SCHEDULES


@SCHEDULES.register("step")
@dataclasses.dataclass(frozen=True)
class Step:
    """Step decay: multiplies by `gamma` at each milestone, rounded down to an epoch but not before the first.

    Args:
        milestones: Fractions of the epochs.
        gamma: Factor at each milestone.

    Example:
        >>> [Step()(step=epoch, epochs=160, steps_per_epoch=1) for epoch in (79, 80, 120)] == [1, 0.1, 0.1 * 0.1]
        True

    References:
        Liu et al., 2022, arXiv:2202.02643, table of hyper-parameters: 160 epochs, drops at 80 and 120.
    """

    milestones: tuple[float, ...] = (0.5, 0.75)
    gamma: float = 0.1

    def __post_init__(self) -> None:
        """Checks the options."""
        if not all(0 < milestone <= 1 for milestone in self.milestones):
            raise InvalidInput(f"milestones are fractions of the epochs, in (0, 1]; got {self.milestones}")
        if not 0 < self.gamma <= 1:
            raise InvalidInput(f"gamma lies in (0, 1]; got {self.gamma}")

    def __call__(self, step: int, epochs: int, steps_per_epoch: int) -> float:
        """Returns the factor of a step."""
        epoch = step // steps_per_epoch
        passed = sum(epoch >= max(1, math.floor(milestone * epochs + 1e-9)) for milestone in self.milestones)
        return float(self.gamma**passed)
