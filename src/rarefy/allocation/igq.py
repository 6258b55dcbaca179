"""Ideal gas quotas."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from rarefy.allocation._allocate import ALLOCATIONS
from rarefy.allocation._budget import Shapes, count_weights, solve_budget


@ALLOCATIONS.register("igq")
@dataclasses.dataclass(frozen=True)
class IdealGasQuota:
    """``p_l = 1 / (1 + F * size_l)``: large layers are pruned most, and none is dense below density 1.

    Layers are cylinders of gas of unit volume, as long as they have weights, with pistons that one force ``F`` pushes
    in; a layer keeps the fraction of its length that is left. ``F`` is solved so that the budget is met.

    Example:
        >>> from rarefy.allocation import allocate  # F is 0.05
        >>> allocate(IdealGasQuota(), {"a.weight": (1, 20), "b.weight": (4, 20)}, 0.26)
        {'a.weight': 10, 'b.weight': 16}

    References:
        Vysogorets and Kempe, 2023, arXiv:2107.02306, section 5 (ideal gas quotas).
    """

    title: ClassVar[str] = "IGQ"

    def __call__(self, shapes: Shapes, density: float) -> dict[str, float]:
        """Density of each layer, at least one weight each."""
        sizes = count_weights(shapes)
        # The level is 1 / (1 + F), which is in (0, 1] for every force.
        return solve_budget(
            shapes, density, lambda level: {n: level / (level + (1 - level) * size) for n, size in sizes.items()}
        )
