"""Erdos-Renyi densities."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

from rarefy.allocation._allocate import ALLOCATIONS
from rarefy.allocation._budget import Shapes, share_budget


@ALLOCATIONS.register("er")
@dataclasses.dataclass(frozen=True)
class ErdosRenyi:
    """``p_l = min(1, e * (n_in + n_out) / (n_in * n_out))``: connections grow with neurons, not with their product.

    ``e`` is solved so that the budget is met; where the cap binds, the rest is shared among the other layers again
    (some released code leaves it out, and keeps less than the density). The kernel's size plays no role.

    Example:
        >>> ErdosRenyi()({"a.weight": (2, 2, 3, 3), "b.weight": (6, 6)}, 0.75)
        {'a.weight': 1.0, 'b.weight': 0.5}

    References:
        Mocanu et al., 2018, arXiv:1707.04780, equation 1.
    """

    title: ClassVar[str] = "ER"

    def __call__(self, shapes: Shapes, density: float) -> dict[str, float]:
        """Density of each layer, at least one weight each."""
        return share_budget(
            shapes, density, {name: sum(shape[:2]) * math.prod(shape[2:]) for name, shape in shapes.items()}
        )
