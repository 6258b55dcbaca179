"""The maximal update parametrisation, which follows width and ignores density."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from rarefy.scaling._maximal_update import Decay, Initialiser, check_base_width, compute_factors
from rarefy.scaling._scale import SCALINGS, Factors, LayerRatio, OptimizerKind


@SCALINGS.register("mup")
@dataclasses.dataclass(frozen=True)
class MaximalUpdate:
    """Scales initial weights and learning rates with the width of a network, whatever its density.

    It does nothing where the network is as wide as the base network. See `rarefy.scaling.supar.SuPar` for the formulas
    and options; here densities count as 1.

    Args:
        base_width: Width of the base network, for models by name; None: this network's own.
        initialiser: ``"fan_in"`` or ``"constant"``.
        decay: ``"constant"`` or ``"with_rate"``.

    Example:
        >>> MaximalUpdate()(LayerRatio(density=0.1, inputs=4, outputs=4), "adam").rate
        0.25

    References:
        Yang et al., 2022, arXiv:2203.03466, table 3. Yang, Simon and Bernstein, 2023, arXiv:2310.17813.
    """

    base_width: int | None = None
    initialiser: Initialiser = "fan_in"
    decay: Decay = "constant"

    needs_fixed_counts: ClassVar[bool] = False
    base_density: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        check_base_width(self.base_width)

    def __call__(self, ratio: LayerRatio, optimizer: OptimizerKind) -> Factors:
        """Computes the factors from the width."""
        return compute_factors(dataclasses.replace(ratio, density=1.0), optimizer, self.initialiser, self.decay)
