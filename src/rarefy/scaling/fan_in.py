"""Initial weights that follow the number of inputs that are left."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from rarefy.scaling._scale import SCALINGS, Factors, LayerRatio, OptimizerKind


@SCALINGS.register("fan_in")
@dataclasses.dataclass(frozen=True)
class FanIn:
    """Divides initial weights by the square root of the layer's density; learning rates stay.

    A layer of density d sums about d * fan_in inputs, so that N(0, 2 / fan_in) becomes N(0, 2 / (d * fan_in)): the
    outputs keep the variance that they have in the dense network. The paper's code has it as an option, with the
    density of the whole network in place of the layer's.

    Example:
        >>> FanIn()(LayerRatio(density=0.25), "sgd").initial
        2.0

    References:
        He et al., 2015, arXiv:1502.01852, section 2.2. Evci et al., 2022, arXiv:2010.03533, who count the
        inputs of each unit.
    """

    needs_fixed_counts: ClassVar[bool] = False
    base_density: ClassVar[float] = 1.0

    def __call__(self, ratio: LayerRatio, optimizer: OptimizerKind) -> Factors:
        """Computes the factor of the initial weights; the others are 1."""
        return Factors(initial=ratio.density**-0.5)
