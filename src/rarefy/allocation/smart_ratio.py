"""Smart ratios: densities that fall with depth, chosen without data."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from rarefy.allocation._allocate import ALLOCATIONS
from rarefy.allocation._budget import Shapes, check_fc_density, count_weights, share_budget


@ALLOCATIONS.register("smart_ratio")
@dataclasses.dataclass(frozen=True)
class SmartRatio:
    """``p_l`` in proportion to ``(L - l + 1) ** 2 + (L - l + 1)``, and the classifier at ``fc_density``.

    ``L`` is the number of layers, the classifier included, and ``l`` counts them from 1. Where a density would exceed
    1, the rest is shared among the other layers in the same proportions; the authors' code gives it to the next layers
    in turn. Above ``fc_density`` the classifier has the density of the network.

    Args:
        fc_density: Fraction of the last layer's weights that are kept, in (0, 1].
        squared_decay: Whether to divide the ratios by ``l ** 2``, as the authors do for VGG.

    Example:
        >>> rule = SmartRatio(fc_density=0.5)  # ratios 12, 6
        >>> rule({"a.weight": (2, 20), "b.weight": (4, 20), "fc.weight": (2, 10)}, 0.25)
        {'a.weight': 0.3125, 'b.weight': 0.15625, 'fc.weight': 0.5}

    References:
        Su et al., 2020, arXiv:2009.11094, section 4 (smart-ratios).
    """

    title: ClassVar[str] = "smart ratio"
    fc_density: float = 0.3
    squared_decay: bool = False

    def __post_init__(self) -> None:
        """Checks the classifier's density."""
        check_fc_density(self.fc_density)

    def __call__(self, shapes: Shapes, density: float) -> dict[str, float]:
        """Density of each layer.

        Raises:
            InfeasibleDensity: If the classifier leaves the others less than one weight each, or more than they have.
        """
        sizes = count_weights(shapes)
        last, total = list(sizes)[-1], sum(sizes.values())

        def count_fixed(budget: int) -> dict[str, int]:
            return {last: max(1, round(max(self.fc_density, budget / total) * sizes[last]))}

        shares = {name: self._compute_ratio(place, len(sizes)) * sizes[name] for place, name in enumerate(sizes, 1)}
        return share_budget(shapes, density, shares, count_fixed)

    def _compute_ratio(self, place: int, layers: int) -> float:
        rest = layers - place + 1
        return (rest**2 + rest) / (place**2 if self.squared_decay else 1)
