"""A topology from parts: drop rule + grow rule + redistribution + timing. Most methods are four lines over this."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence

from torch import Tensor

from rarefy.topology._drop import DROPS, Drop
from rarefy.topology._grow import GROWS, Grow
from rarefy.topology._redistribute import REDISTRIBUTIONS, Redistribution
from rarefy.topology._schedule import SCHEDULES, Timing, portion
from rarefy.topology._update import Layer, Moment, Scope


@dataclasses.dataclass(frozen=True)
class Parts:
    """What a composed topology is made of.

    Args:
        drop: Which kept weights go.
        grow: Which pruned weights come.
        redistribute: How many come in which layer.
        timing: When, and how many go.
        regrow: Whether what is dropped may come back in the same update.
    """

    drop: Drop
    grow: Grow
    redistribute: Redistribution
    timing: Timing
    regrow: bool = False


def parts(
    drop: Drop | str,
    grow: str,
    *,
    fraction: float,
    interval: int,
    schedule: str,
    stop: float,
    redistribute: str = "none",
    regrow: bool = False,
) -> Parts:
    """Parts by name; raises ValueError for a name that is not known or a number that is out of range."""
    return Parts(
        DROPS.build(drop) if isinstance(drop, str) else drop,
        GROWS.build(grow),
        REDISTRIBUTIONS.build(redistribute),
        timing(fraction, interval, schedule, stop),
        regrow,
    )


def timing(fraction: float, interval: int, schedule: str, stop: float) -> Timing:
    """A timing with its schedule by name."""
    return Timing(fraction, interval, stop, SCHEDULES.build(schedule))


class Composed(abc.ABC):
    """A topology that drops a fraction of each layer and grows as many: subclasses say only what their parts are.

    A layer drops no more than it could grow elsewhere, unless others, or the dropped ones, may grow in their place.
    """

    def __post_init__(self) -> None:
        _ = self.parts  # a wrong option is found when the method is built, not in the middle of a training

    @property
    @abc.abstractmethod
    def parts(self) -> Parts:
        """Drop rule, grow rule, redistribution and timing."""

    @property
    def needs(self) -> frozenset[str]:
        """What a layer must carry at an update."""
        return self.parts.drop.needs | self.parts.grow.needs | self.parts.redistribute.needs

    @property
    def scope(self) -> Scope:
        """Whether the count is held in every layer or only over the network."""
        return self.parts.redistribute.scope

    def is_due(self, step: int, steps: int | None) -> bool:
        """Whether masks move after that step."""
        return self.parts.timing.is_due(step, steps)

    def initial_density(self, density: float) -> float:
        """The density itself: it never changes."""
        return density

    def __call__(self, layers: Sequence[Layer], moment: Moment) -> dict[str, Tensor]:
        """The next mask of every layer."""
        drop, grow, redistribute, timing = self.parts.drop, self.parts.grow, self.parts.redistribute, self.parts.timing
        fractions = redistribute.fractions(layers, timing.fraction_at(moment.step, moment.steps))
        dropped = {layer.name: drop(layer, self._quota(layer, fractions[layer.name])) for layer in layers}
        counts = {name: int(marked.count_nonzero()) for name, marked in dropped.items()}
        grown = redistribute(layers, counts)
        return {
            layer.name: exchange(layer, dropped[layer.name], grown[layer.name], grow, moment, regrow=self.parts.regrow)
            for layer in layers
        }

    def _quota(self, layer: Layer, fraction: float) -> int:
        quota = portion(fraction, layer.kept)
        if self.scope == "layer" and not self.parts.regrow:
            return min(quota, layer.mask.numel() - layer.kept)
        return quota


def exchange(layer: Layer, dropped: Tensor, count: int, grow: Grow, moment: Moment, *, regrow: bool) -> Tensor:
    """The mask without what is dropped and with ``count`` grown weights.

    Candidates are the weights pruned before this update and, with ``regrow``, the just dropped. Without, these are
    eligible only when the others run out. One that is dropped and grown has never left the mask.
    """
    key = moment.key("grow", layer.name)
    pruned = ~layer.mask | dropped if regrow else ~layer.mask
    first = min(count, int(pruned.count_nonzero()))
    grown = grow(layer, pruned, first, key)
    if count > first:
        grown = grown | grow(layer, dropped, count - first, key)
    return (layer.mask & ~dropped) | grown
