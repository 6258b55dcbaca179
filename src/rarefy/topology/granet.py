"""Gradual pruning with zero-cost neuroregeneration."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from rarefy.errors import InvalidInput
from rarefy.topology._drop_and_grow import build_update_schedule, drop_and_grow
from rarefy.topology._grows.gradient import Gradient
from rarefy.topology._select import compute_magnitude, mark_lowest
from rarefy.topology._update import TOPOLOGIES, Layer, Scope, UpdateStep
from rarefy.topology._update_schedule import Cubic, UpdateSchedule, check_fraction_of_steps, compute_drop_count


@TOPOLOGIES.register("granet")
@dataclasses.dataclass(frozen=True)
class GradualPruningWithRegeneration:
    """Starts half dense, prunes on a cubic schedule, and after each pruning exchanges weights as RigL does.

    Departs from the paper's code in one point: it prunes by one threshold over the network, here each layer goes from
    its own initial to its own final count (both from the allocation), so that counts are exact in every layer.

    Args:
        fraction: Fraction of the weights left after pruning that is regenerated at first, in (0, 1).
        interval: Optimizer steps between updates.
        schedule: How the fraction falls: ``cosine``, ``linear`` or ``constant``.
        stop: Fraction of all steps after which nothing moves.
        prune_stop: Fraction of all steps by which the final density is reached, at most ``stop``.
        initial: Density to start with, in (0, 1]; never below the final one. 1 is the paper's dense-to-sparse version.
        regrow: Whether a weight dropped in an update may grow again in it, and then keeps its value, as in the released
            code.

    Example:
        >>> GradualPruningWithRegeneration().initial_density(0.05)
        0.5

    References:
        Liu et al., 2021, arXiv:2106.10404, section 4.
    """

    title: ClassVar[str] = "GraNet"
    fraction: float = 0.5
    interval: int = 1000
    schedule: str = "cosine"
    stop: float = 1.0
    prune_stop: float = 0.7
    initial: float = 0.5
    regrow: bool = False
    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})
    scope: ClassVar[Scope] = "layer"

    def __post_init__(self) -> None:
        _ = self._schedule, self._cubic
        if not 0 < self.initial <= 1:
            raise InvalidInput(
                f"initial is the density to start with, in (0, 1]; got {self.initial}.",
                name="initial",
                value=self.initial,
            )
        check_fraction_of_steps("prune_stop", self.prune_stop)
        if self.prune_stop > self.stop:
            raise InvalidInput(f"prune_stop must not come after stop; got {self.prune_stop} and {self.stop}.")

    @functools.cached_property
    def _schedule(self) -> UpdateSchedule:
        return build_update_schedule(self.fraction, self.interval, self.schedule, self.stop)

    @functools.cached_property
    def _cubic(self) -> Cubic:
        return Cubic(self.interval, self.prune_stop)

    def is_due(self, step: int, steps: int | None) -> bool:
        """Whether masks move after that step."""
        last = self._cubic.compute_last_step(steps)
        return step % self.interval == 0 and (step <= last or self._schedule.is_due(step, steps))

    def initial_density(self, density: float) -> float:
        """The density to start with."""
        return max(density, self.initial)

    def count(self, layer: Layer, update_step: UpdateStep) -> int:
        """Computes how many weights the layer keeps after that update."""
        return min(layer.kept, self._cubic.count(layer.initial, layer.final, update_step.step, update_step.steps))

    def __call__(self, layers: Sequence[Layer], update_step: UpdateStep) -> dict[str, Tensor]:
        """Computes the next mask of every layer."""
        fraction = self._schedule.compute_fraction(update_step.step, update_step.steps)
        return {layer.name: self._compute_mask(layer, fraction, update_step) for layer in layers}

    def _compute_mask(self, layer: Layer, fraction: float, update_step: UpdateStep) -> Tensor:
        kept, target = layer.kept, self.count(layer, update_step)
        regenerated = compute_drop_count(fraction, target)
        if not self.regrow:
            regenerated = min(regenerated, layer.mask.numel() - kept)
        dropped = mark_lowest(compute_magnitude(layer.weight), layer.mask, kept - target + regenerated)
        return drop_and_grow(layer, dropped, regenerated, Gradient(), update_step, regrow=self.regrow)
