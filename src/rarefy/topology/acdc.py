"""Alternating compressed and decompressed training (AC/DC)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from rarefy.errors import InvalidInput
from rarefy.topology._select import compute_magnitude, mark_highest
from rarefy.topology._update import TOPOLOGIES, Layer, Scope, UpdateStep
from rarefy.topology._update_schedule import check_fraction_of_steps, check_phase, compute_progress


@TOPOLOGIES.register("acdc")
@dataclasses.dataclass(frozen=True)
class AlternatingCompression:
    """Trains sparse and dense in turns: a compressed phase keeps the largest weights, a dense one trains all of them.

    Starts dense. After ``warmup`` the largest weights of each layer are kept, one ``phase`` later the others come back
    as zeros with a clean optimizer state, and so on; from ``stop`` on the network stays sparse. A compressed phase
    begins only if it and the dense phase after it fit before ``stop``, so that the last dense phase may be longer.

    The defaults are the authors' schedule for ImageNet; that for CIFAR-100 is ``warmup=0.05, phase=0.1``. Departs from
    their code in one point: it prunes by one threshold over the network, here each layer keeps the count that the
    allocation gives it.

    Args:
        warmup: Fraction of all steps before the first compression.
        phase: Fraction of all steps that a phase lasts.
        stop: Fraction of all steps at which the last, sparse phase begins, below 1.

    Example:
        >>> topology = AlternatingCompression(warmup=0.1, phase=0.2, stop=0.7)
        >>> [step for step in range(1, 101) if topology.is_due(step, 100)]
        [10, 30, 70]
        >>> AlternatingCompression().initial_density(0.05)
        1.0

    References:
        Peste et al., 2021, arXiv:2106.12379, section 3.
    """

    title: ClassVar[str] = "AC/DC"
    warmup: float = 0.1
    phase: float = 0.05
    stop: float = 0.85
    needs: ClassVar[frozenset[str]] = frozenset()
    scope: ClassVar[Scope] = "layer"

    def __post_init__(self) -> None:
        for name in ("warmup", "phase", "stop"):
            check_fraction_of_steps(name, getattr(self, name))
        if not self.warmup <= self.stop < 1:
            raise InvalidInput(
                "stop comes after warmup, and before 1, so that a sparse phase ends the training; got "
                f"warmup={self.warmup} and stop={self.stop}.",
                name="stop",
                value=self.stop,
            )

    def is_due(self, step: int, steps: int | None) -> bool:
        """Whether a phase ends with that step."""
        check_phase("phase", self.phase, steps)
        check_phase("last, sparse phase", 1 - self.stop, steps)
        return self._is_dense(step, steps) != self._is_dense(step - 1, steps)

    def initial_density(self, density: float) -> float:
        """Dense."""
        return 1.0

    def count(self, layer: Layer, update_step: UpdateStep) -> int:
        """Computes how many weights the layer keeps after that step: all of them, or its final count."""
        return layer.mask.numel() if self._is_dense(update_step.step, update_step.steps) else layer.final

    def __call__(self, layers: Sequence[Layer], update_step: UpdateStep) -> dict[str, Tensor]:
        """Marks the largest weights of every layer, or all of them."""
        return {
            layer.name: mark_highest(
                compute_magnitude(layer.weight), torch.ones_like(layer.mask), self.count(layer, update_step)
            )
            for layer in layers
        }

    def _is_dense(self, step: int, steps: int | None) -> bool:
        """Whether all weights are trained after that step."""
        progress = compute_progress(step, steps)
        turn = math.floor(round((progress - self.warmup) / self.phase, 6))
        fits = round(self.warmup + (turn + 2) * self.phase, 6) <= self.stop
        return progress < self.stop and (turn < 0 or turn % 2 == 1 or not fits)
