"""Uniform densities, with the first layer and the classifier spared."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from rarefy.allocation._allocate import ALLOCATIONS
from rarefy.allocation._budget import Shapes, count_weights, share_budget

LAST_AT_LEAST = 0.2


@ALLOCATIONS.register("uniform_plus")
@dataclasses.dataclass(frozen=True)
class UniformPlus:
    """The first layer dense, the classifier at ``max(0.2, d)``, and one density for the others that meets the budget.

    In a network of two layers the classifier takes what the first leaves, at least 0.2. The paper's code divides by the
    wrong number below 0.2 and adds the dense first layer on top above it; here the budget is exact.

    Example:
        >>> UniformPlus()({"first.weight": (2, 5), "body.weight": (8, 10), "last.weight": (2, 5)}, 0.3)
        {'first.weight': 1.0, 'body.weight': 0.2125, 'last.weight': 0.3}

    References:
        Gale et al., 2019, arXiv:1902.09574, section 5.
    """

    title: ClassVar[str] = "uniform+"

    def __call__(self, shapes: Shapes, density: float) -> dict[str, float]:
        """Density of each layer.

        Raises:
            InfeasibleDensity: If the first layer and the classifier leave the others less than one weight each.
        """
        sizes = count_weights(shapes)
        first, last, total = next(iter(sizes)), list(sizes)[-1], sum(sizes.values())

        def count_fixed(budget: int) -> dict[str, int]:
            if first == last:
                return {first: sizes[first]}
            least = max(1, round(LAST_AT_LEAST * sizes[last]))
            wanted = round(budget / total * sizes[last]) if len(sizes) > 2 else budget - sizes[first]
            return {first: sizes[first], last: max(least, wanted)}

        return share_budget(shapes, density, sizes, count_fixed)
