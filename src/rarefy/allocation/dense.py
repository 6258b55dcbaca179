"""Nothing is left out."""

from __future__ import annotations

import dataclasses

from rarefy.allocation._allocate import ALLOCATIONS
from rarefy.allocation._budget import InfeasibleDensity, Shapes


@ALLOCATIONS.register("dense")
@dataclasses.dataclass(frozen=True)
class Dense:
    """Every weight is kept: the dense network as an ordinary method.

    Example:
        >>> Dense()({"a.weight": (2, 3), "b.weight": (1, 2)}, 1.0)
        {'a.weight': 1.0, 'b.weight': 1.0}
    """

    def __call__(self, shapes: Shapes, density: float) -> dict[str, float]:
        """Density 1 in every layer.

        Raises:
            InfeasibleDensity: If the density is not 1.
        """
        if density != 1.0:
            raise InfeasibleDensity(
                f"The allocation 'dense' keeps every weight, so its density is 1.0; got {density}. "
                "Ask for density 1.0, or for a sparse allocation such as 'erk'.",
                nearest=1.0,
            )
        return dict.fromkeys(shapes, 1.0)
