"""No scaling: the same hyper-parameters at every density."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from rarefy.scaling._scale import SCALINGS, Factors, LayerRatio, OptimizerKind


@SCALINGS.register("none")
@dataclasses.dataclass(frozen=True)
class NoScaling:
    """Leaves initial weights and learning rates alone, as the paper does.

    Example:
        >>> NoScaling()(LayerRatio(density=0.01), "sgd") == Factors()
        True

    References:
        Liu et al., 2022, arXiv:2202.02643.
    """

    needs_fixed_counts: ClassVar[bool] = False
    base_density: ClassVar[float] = 1.0

    def __call__(self, ratio: LayerRatio, optimizer: OptimizerKind) -> Factors:
        """Every factor is 1."""
        return Factors()
