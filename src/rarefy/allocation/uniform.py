"""The same density everywhere."""

from __future__ import annotations

import dataclasses

from rarefy.allocation._allocate import ALLOCATIONS
from rarefy.allocation._budget import Shapes, count_weights, share_budget


@ALLOCATIONS.register("uniform")
@dataclasses.dataclass(frozen=True)
class Uniform:
    """``p_l = d`` in every layer, first convolution and classifier included: the plainest rule.

    Example:
        >>> Uniform()({"a.weight": (4, 5), "b.weight": (2, 5)}, 0.5)
        {'a.weight': 0.5, 'b.weight': 0.5}

    References:
        Liu et al., 2022, arXiv:2202.02643, section 3.
    """

    def __call__(self, shapes: Shapes, density: float) -> dict[str, float]:
        """Density of each layer: the budget in proportion to the layers' sizes, at least one weight each."""
        return share_budget(shapes, density, count_weights(shapes))
