"""Densities that fall by the same factor from layer to layer."""

from __future__ import annotations

import dataclasses

from rarefy.allocation._allocate import ALLOCATIONS
from rarefy.allocation._budget import Shapes, solve_budget


@ALLOCATIONS.register("pyramidal")
@dataclasses.dataclass(frozen=True)
class Pyramidal:
    """``p_l = p ** l`` in the ``l``-th layer, counted from 1 at the input: each layer is sparser than the one before.

    ``p`` is solved so that the budget is met: it is the root of ``sum(size_l * p ** l) = density * sum(size_l)`` in
    (0, 1], as long as no layer is left with less than one weight. Layers count in the order in which the network
    registers them, shortcuts of residual blocks included.

    Example:
        >>> Pyramidal()({"a.weight": (1, 20), "b.weight": (4, 20)}, 0.3)
        {'a.weight': 0.5, 'b.weight': 0.25}

    References:
        Gadhikar, Mukherjee and Burkholz, 2023, arXiv:2210.02412, section 4 (pyramidal).
    """

    def __call__(self, shapes: Shapes, density: float) -> dict[str, float]:
        """Density of each layer, at least one weight each."""
        return solve_budget(
            shapes, density, lambda level: {name: level**place for place, name in enumerate(shapes, start=1)}
        )
