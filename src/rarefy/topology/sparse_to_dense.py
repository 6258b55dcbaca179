"""Sparse training with a dense last phase."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from rarefy.errors import InvalidInput
from rarefy.topology._update import TOPOLOGIES, Layer, Scope, UpdateStep
from rarefy.topology._update_schedule import check_fraction_of_steps, check_phase, compute_progress


@TOPOLOGIES.register("sparse_to_dense")
@dataclasses.dataclass(frozen=True)
class SparseToDense:
    """Trains with fixed masks, and from ``dense_from`` on with all weights: training is cheap, and the result dense.

    Weights that come in start at zero, with a clean optimizer state. The trained network is a dense one: it is neither
    smaller nor faster than one that was trained dense. The authors train the dense phase on another, smaller data set.

    Args:
        dense_from: Fraction of all steps after which all weights are trained, below 1.

    Example:
        >>> topology = SparseToDense(dense_from=0.8)
        >>> [step for step in range(1, 101) if topology.is_due(step, 100)]
        [80]
        >>> topology.initial_density(0.25), topology.final_density(0.25)
        (0.25, 1.0)

    References:
        Thangarasa et al., 2023, arXiv:2303.10464, section 2 (SPDF).
    """

    title: ClassVar[str] = "sparse to dense"
    dense_from: float = 0.75
    needs: ClassVar[frozenset[str]] = frozenset()
    scope: ClassVar[Scope] = "layer"

    def __post_init__(self) -> None:
        check_fraction_of_steps("dense_from", self.dense_from)
        if self.dense_from == 1:
            raise InvalidInput(
                "dense_from is below 1, so that there is a dense phase; for none use the topology 'static'.",
                name="dense_from",
                value=self.dense_from,
            )

    def is_due(self, step: int, steps: int | None) -> bool:
        """Whether the dense phase begins after that step."""
        check_phase("dense phase", 1 - self.dense_from, steps)
        return compute_progress(step - 1, steps) < self.dense_from <= compute_progress(step, steps)

    def initial_density(self, density: float) -> float:
        """The density itself."""
        return density

    def final_density(self, density: float) -> float:
        """Dense."""
        return 1.0

    def count(self, layer: Layer, update_step: UpdateStep) -> int:
        """Computes how many weights the layer keeps after that step: as many as before, or all of them."""
        is_dense = compute_progress(update_step.step, update_step.steps) >= self.dense_from
        return layer.mask.numel() if is_dense else layer.kept

    def __call__(self, layers: Sequence[Layer], update_step: UpdateStep) -> dict[str, Tensor]:
        """Keeps the masks, or marks all weights."""
        is_dense = compute_progress(update_step.step, update_step.steps) >= self.dense_from
        return {layer.name: torch.ones_like(layer.mask) if is_dense else layer.mask for layer in layers}
