"""Erdos-Renyi-kernel densities."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from rarefy.allocation._allocate import ALLOCATIONS
from rarefy.allocation._budget import Shapes, share_budget


@ALLOCATIONS.register("erk")
@dataclasses.dataclass(frozen=True)
class ErdosRenyiKernel:
    """``p_l = min(1, e * (n_in + n_out + k_h + k_w) / (n_in * n_out * k_h * k_w))``: small layers denser.

    The paper's best random rule. A layer's number of kept weights is in proportion to the sum of its dimensions,
    whatever their number (linear layers, 1-d to 3-d convolutions); a grouped convolution counts the dimensions of its
    weight as it stands. ``e`` is solved so that the budget is met with every layer that would exceed 1 made dense.

    Example:
        >>> ErdosRenyiKernel()({"small.weight": (2, 2), "big.weight": (10, 10)}, 0.25)
        {'small.weight': 1.0, 'big.weight': 0.22}

    References:
        Evci et al., 2020, arXiv:1911.11134, section 3.
    """

    title: ClassVar[str] = "ERK"

    def __call__(self, shapes: Shapes, density: float) -> dict[str, float]:
        """Density of each layer, at least one weight each."""
        return share_budget(shapes, density, {name: sum(shape) for name, shape in shapes.items()})
