"""The same number of weights in every layer."""

from __future__ import annotations

import dataclasses

from rarefy.allocation._allocate import ALLOCATIONS
from rarefy.allocation._budget import Shapes, share_budget


@ALLOCATIONS.register("balanced")
@dataclasses.dataclass(frozen=True)
class Balanced:
    """``kept_l = min(size_l, k)``: every layer keeps ``k`` weights, and layers that have fewer are dense.

    ``k`` is solved so that the budget is met. The authors' code divides the budget by the number of layers, and keeps
    fewer weights than asked for where a layer is smaller than that.

    Example:
        >>> Balanced()({"a.weight": (2, 5), "b.weight": (8, 10), "c.weight": (4, 10)}, 0.5)
        {'a.weight': 1.0, 'b.weight': 0.34375, 'c.weight': 0.6875}

    References:
        Gadhikar, Mukherjee and Burkholz, 2023, arXiv:2210.02412, section 4 (balanced).
    """

    def __call__(self, shapes: Shapes, density: float) -> dict[str, float]:
        """Density of each layer, at least one weight each."""
        return share_budget(shapes, density, dict.fromkeys(shapes, 1.0))
