"""The sparse maximal update parametrisation, which follows density and width."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from rarefy.errors import InvalidInput
from rarefy.scaling._maximal_update import Decay, Initialiser, check_base_width, compute_factors
from rarefy.scaling._scale import SCALINGS, Factors, LayerRatio, OptimizerKind


@SCALINGS.register("supar")
@dataclasses.dataclass(frozen=True)
class SuPar:
    """Scales initial weights and learning rates with each layer's own density and width.

    With d the layer's density and m its inputs, both relative to the base network, the initial variance is multiplied
    by 1 / d and the learning rate by 1 / (d * m) under Adam, by outputs / (d * m) under SGD. The weights of an output
    layer are divided by sqrt(m) once more. Vectors (biases, norms) and embeddings count as m = 1. The authors give the
    rule for Adam and one density; that of SGD and that for layers of different densities are derived from the same
    requirement, see the documentation.

    Args:
        base_density: Density of the base network, where the given hyper-parameters are good. Its layers have the
            densities that the allocation gives them there.
        base_width: Width of the base network, for models by name; None: this network's own.
        initialiser: ``"fan_in"`` if initial variances go with 1 / fan_in already, as those of PyTorch, Kaiming and
            Xavier; ``"constant"`` if they are the same at every width, as 0.02 in GPT-2. It matters only together with
            a base width.
        decay: ``"constant"``: the learning rate times the weight decay, by which a weight shrinks in a step, stays as
            in the base network. ``"with_rate"``: the decay stays, so that sparse layers shrink 1 / d times as fast; the
            authors' code does this.

    Example:
        >>> factors = SuPar()(LayerRatio(density=0.25), "sgd")
        >>> factors.initial, factors.rate, factors.decay
        (2.0, 4.0, 0.25)

    References:
        Dey et al., 2024, arXiv:2405.15743.
    """

    base_density: float = 1.0
    base_width: int | None = None
    initialiser: Initialiser = "fan_in"
    decay: Decay = "constant"

    needs_fixed_counts: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_base_width(self.base_width)
        if not 0 < self.base_density <= 1:
            raise InvalidInput(
                f"base_density is a fraction in (0, 1]; got {self.base_density}.",
                name="base_density",
                value=self.base_density,
            )

    def __call__(self, ratio: LayerRatio, optimizer: OptimizerKind) -> Factors:
        """Computes the factors from density and width."""
        return compute_factors(ratio, optimizer, self.initialiser, self.decay)
