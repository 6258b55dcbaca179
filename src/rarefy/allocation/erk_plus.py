"""ERK with the classifier's density set by hand."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

from rarefy.allocation._allocate import ALLOCATIONS
from rarefy.allocation._budget import Shapes, check_fc_density, share_budget


@ALLOCATIONS.register("erk_plus")
@dataclasses.dataclass(frozen=True)
class ErdosRenyiKernelPlus:
    """The last layer at ``fc_density``, ERK with what is left of the budget for the others.

    The paper's rule for ImageNet, where ERK leaves the wide classifier sparse. At low densities a dense classifier may
    eat most of the budget, and below its own share of the weights (0.080 for a ResNet-50) nothing is left.

    Args:
        fc_density: Fraction of the last layer's weights that are kept, in (0, 1].

    Example:
        >>> ErdosRenyiKernelPlus()({"a.weight": (6, 6), "b.weight": (18, 6), "fc.weight": (2, 18)}, 0.4)
        {'a.weight': 0.3333333333333333, 'b.weight': 0.2222222222222222, 'fc.weight': 1.0}

    References:
        Liu et al., 2022, arXiv:2202.02643, section 3 (ERK+).
    """

    title: ClassVar[str] = "ERK+"
    fc_density: float = 1.0

    def __post_init__(self) -> None:
        """Checks the classifier's density."""
        check_fc_density(self.fc_density)

    def __call__(self, shapes: Shapes, density: float) -> dict[str, float]:
        """Density of each layer.

        Raises:
            InfeasibleDensity: If the classifier leaves the others less than one weight each, or more than they have.
        """
        *_, (last, shape) = shapes.items()
        kept = max(1, round(self.fc_density * math.prod(shape)))
        return share_budget(
            shapes, density, {name: sum(shape) for name, shape in shapes.items()}, lambda budget: {last: kept}
        )
