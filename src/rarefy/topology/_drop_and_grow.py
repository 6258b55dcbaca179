"""Topologies that drop a fraction of each layer's weights and grow as many."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence

from torch import Tensor

from rarefy.topology._drops import DROPS, DropRule
from rarefy.topology._grows import GROWS, GrowRule
from rarefy.topology._redistributions import REDISTRIBUTIONS, Redistribution
from rarefy.topology._schedules import SCHEDULES
from rarefy.topology._update import Layer, Scope, UpdateStep
from rarefy.topology._update_schedule import UpdateSchedule, compute_drop_count


@dataclasses.dataclass(frozen=True)
class UpdateRules:
    """The rules that a drop-and-grow topology combines.

    Args:
        drop: Which kept weights are dropped.
        grow: Which pruned weights are grown.
        redistribute: How many weights each layer grows.
        schedule: At which steps, and what fraction is dropped.
    """

    drop: DropRule
    grow: GrowRule
    redistribute: Redistribution
    schedule: UpdateSchedule


class DropAndGrow(abc.ABC):
    """A topology that drops a fraction of each layer's weights and grows as many.

    A subclass is a dataclass with the options below; it names its rules. A layer drops no more weights than it has
    pruned ones, unless other layers, or the dropped weights themselves, may take their place.

    Attributes:
        fraction: Fraction of a layer's weights dropped at first, in (0, 1).
        interval: Optimizer steps between updates.
        schedule: Name of the schedule by which the fraction falls.
        stop: Fraction of all steps after which nothing moves.
        regrow: Whether a dropped weight may be grown again in the same update.
    """

    fraction: float
    interval: int
    schedule: str
    stop: float
    regrow: bool = False

    def __post_init__(self) -> None:
        _ = self.rules  # a wrong option raises when the method is built, not in the middle of a training

    @property
    @abc.abstractmethod
    def rules(self) -> UpdateRules:
        """Drop rule, grow rule, redistribution and schedule."""

    @property
    def needs(self) -> frozenset[str]:
        """What a layer must carry at an update."""
        return self.rules.drop.needs | self.rules.grow.needs | self.rules.redistribute.needs

    @property
    def scope(self) -> Scope:
        """Whether the count is held in every layer or only over the network."""
        return self.rules.redistribute.scope

    @property
    def moves_groups(self) -> bool:
        """Whether the scores of both rules add up over a group, so that whole groups can be moved by them."""
        rules = (self.rules.drop, self.rules.grow)
        return self.scope == "layer" and all(getattr(rule, "moves_groups", False) for rule in rules)

    def is_due(self, step: int, steps: int | None) -> bool:
        """Whether masks move after that step."""
        return self.rules.schedule.is_due(step, steps)

    def initial_density(self, density: float) -> float:
        """The density itself: it never changes."""
        return density

    def __call__(self, layers: Sequence[Layer], update_step: UpdateStep) -> dict[str, Tensor]:
        """Computes the next mask of every layer."""
        rules = self.rules
        fraction = rules.schedule.compute_fraction(update_step.step, update_step.steps)
        fractions = rules.redistribute.fractions(layers, fraction)
        dropped = {layer.name: rules.drop(layer, self._count_dropped(layer, fractions[layer.name])) for layer in layers}
        grown = rules.redistribute(layers, {name: int(marked.count_nonzero()) for name, marked in dropped.items()})
        return {
            layer.name: drop_and_grow(
                layer, dropped[layer.name], grown[layer.name], rules.grow, update_step, regrow=self.regrow
            )
            for layer in layers
        }

    def build_rules(self, drop: DropRule | str, grow: str, redistribute: str = "none") -> UpdateRules:
        """Builds rules by name and the schedule from the options; raises ValueError for a wrong name or option."""
        return UpdateRules(
            DROPS.build(drop) if isinstance(drop, str) else drop,
            GROWS.build(grow),
            REDISTRIBUTIONS.build(redistribute),
            build_update_schedule(self.fraction, self.interval, self.schedule, self.stop),
        )

    def _count_dropped(self, layer: Layer, fraction: float) -> int:
        count = compute_drop_count(fraction, layer.kept)
        if self.scope == "layer" and not self.regrow:
            return min(count, layer.mask.numel() - layer.kept)
        return count


def build_update_schedule(fraction: float, interval: int, schedule: str, stop: float) -> UpdateSchedule:
    """Builds an update schedule whose drop-fraction schedule is given by name."""
    return UpdateSchedule(fraction, interval, stop, SCHEDULES.build(schedule))


def drop_and_grow(
    layer: Layer, dropped: Tensor, count: int, grow: GrowRule, update_step: UpdateStep, *, regrow: bool
) -> Tensor:
    """Removes the dropped weights from a layer's mask and grows ``count`` others.

    Candidates are the weights pruned before this update and, with ``regrow``, the dropped ones. Without ``regrow``,
    dropped weights are grown only when the others run out. A weight that is dropped and grown has never left the mask.
    """
    random_key = update_step.derive_key("grow", layer.name)
    candidates = ~layer.mask | dropped if regrow else ~layer.mask
    first_count = min(count, int(candidates.count_nonzero()))
    grown = grow(layer, candidates, first_count, random_key)
    if count > first_count:
        grown = grown | grow(layer, dropped, count - first_count, random_key)
    return (layer.mask & ~dropped) | grown
