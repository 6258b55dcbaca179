"""Gradual magnitude pruning."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from rarefy.topology._select import compute_magnitude, mark_lowest
from rarefy.topology._update import TOPOLOGIES, Layer, Scope, UpdateStep
from rarefy.topology._update_schedule import Cubic


@TOPOLOGIES.register("gmp")
@dataclasses.dataclass(frozen=True)
class GradualMagnitudePruning:
    """Starts dense and drops the smallest weights of each layer on a cubic schedule; nothing grows.

    Args:
        interval: Optimizer steps between updates.
        stop: Fraction of all steps by which the final density is reached; the rest trains at that density.

    Example:
        >>> GradualMagnitudePruning().initial_density(0.05)
        1.0

    References:
        Zhu and Gupta, 2017, arXiv:1710.01878, section 3.
    """

    title: ClassVar[str] = "GMP"
    interval: int = 100
    stop: float = 0.75
    needs: ClassVar[frozenset[str]] = frozenset()
    scope: ClassVar[Scope] = "layer"

    def __post_init__(self) -> None:
        _ = self._cubic

    @functools.cached_property
    def _cubic(self) -> Cubic:
        return Cubic(self.interval, self.stop)

    def is_due(self, step: int, steps: int | None) -> bool:
        """Whether weights are dropped after that step."""
        last = self._cubic.compute_last_step(steps)
        return step % self.interval == 0 and step <= last

    def initial_density(self, density: float) -> float:
        """Dense."""
        return 1.0

    def count(self, layer: Layer, update_step: UpdateStep) -> int:
        """Computes how many weights the layer keeps after that update."""
        return min(layer.kept, self._cubic.count(layer.initial, layer.final, update_step.step, update_step.steps))

    def __call__(self, layers: Sequence[Layer], update_step: UpdateStep) -> dict[str, Tensor]:
        """Computes the next mask of every layer."""
        return {layer.name: layer.mask & ~self._mark_dropped(layer, update_step) for layer in layers}

    def _mark_dropped(self, layer: Layer, update_step: UpdateStep) -> Tensor:
        return mark_lowest(compute_magnitude(layer.weight), layer.mask, layer.kept - self.count(layer, update_step))
