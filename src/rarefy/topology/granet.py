"""Gradual pruning with zero-cost neuroregeneration."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from rarefy.errors import InvalidInput
from rarefy.topology._compose import exchange, timing
from rarefy.topology._grow import Gradient
from rarefy.topology._schedule import Cubic, Timing, check_part, portion
from rarefy.topology._select import lowest, magnitude
from rarefy.topology._update import TOPOLOGIES, Layer, Moment, Scope


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
        _ = self._timing, self._cubic
        if not 0 < self.initial <= 1:
            raise InvalidInput(
                f"initial is the density to start with, in (0, 1]; got {self.initial}.",
                name="initial",
                value=self.initial,
            )
        check_part("prune_stop", self.prune_stop)
        if self.prune_stop > self.stop:
            raise InvalidInput(f"prune_stop must not come after stop; got {self.prune_stop} and {self.stop}.")

    @functools.cached_property
    def _timing(self) -> Timing:
        return timing(self.fraction, self.interval, self.schedule, self.stop)

    @functools.cached_property
    def _cubic(self) -> Cubic:
        return Cubic(self.interval, self.prune_stop)

    def is_due(self, step: int, steps: int | None) -> bool:
        """Whether masks move after that step."""
        last = self._cubic.last(steps)
        return step % self.interval == 0 and (step <= last or self._timing.is_due(step, steps))

    def initial_density(self, density: float) -> float:
        """The density to start with."""
        return max(density, self.initial)

    def count(self, layer: Layer, moment: Moment) -> int:
        """How many weights the layer keeps after an update at that moment."""
        return min(layer.kept, self._cubic.count(layer.initial, layer.final, moment.step, moment.steps))

    def __call__(self, layers: Sequence[Layer], moment: Moment) -> dict[str, Tensor]:
        """The next mask of every layer."""
        fraction = self._timing.fraction_at(moment.step, moment.steps)
        return {layer.name: self._next(layer, fraction, moment) for layer in layers}

    def _next(self, layer: Layer, fraction: float, moment: Moment) -> Tensor:
        kept, target = layer.kept, self.count(layer, moment)
        regenerated = portion(fraction, target)
        if not self.regrow:
            regenerated = min(regenerated, layer.mask.numel() - kept)
        dropped = lowest(magnitude(layer.weight), layer.mask, kept - target + regenerated)
        return exchange(layer, dropped, regenerated, Gradient(), moment, regrow=self.regrow)
