"""Structured RigL: constant fan-in and neuron ablation."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from rarefy.errors import InvalidInput
from rarefy.topology._compose import timing
from rarefy.topology._door import TOPOLOGIES, Layer, Moment, Scope
from rarefy.topology._schedule import Timing, portion
from rarefy.topology._select import highest, highest_in_rows, lowest, magnitude


@TOPOLOGIES.register("srigl")
@dataclasses.dataclass(frozen=True)
class StructuredRigL:
    """RigL under which all active neurons of a layer keep the same number of weights.

    A neuron (an output unit or filter: dimension 0 of the weight) is active while it keeps any weight. A weight is
    salient when RigL would keep or grow it. A neuron with fewer salient weights than ``gamma`` times the mean fan-in is
    ablated for good, and its weights go to the others. Where the layer's count is not divisible by the active neurons,
    fan-ins differ by one: those of which most survive (ties: the lower index) get one more. So the count stays exact.

    A mask that has no constant fan-in yet gets it at the first update.

    Args:
        fraction: Fraction of a layer's weights dropped at first, in (0, 1).
        interval: Optimizer steps between updates.
        schedule: How the fraction falls: ``cosine``, ``linear`` or ``constant``.
        stop: Fraction of all steps after which nothing moves.
        gamma: Salient weights a neuron needs, as a fraction of the mean fan-in, in [0, 1]; 0 ablates none. The paper
            uses 0.3 for convolutional networks and 0.95 for vision transformers.

    Example:
        >>> StructuredRigL().needs
        frozenset({'gradient'})

    References:
        Lasby et al., 2024, arXiv:2305.02299, section 3.
    """

    fraction: float = 0.3
    interval: int = 100
    schedule: str = "cosine"
    stop: float = 0.75
    gamma: float = 0.3
    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})
    scope: ClassVar[Scope] = "layer"

    def __post_init__(self) -> None:
        _ = self._timing
        if not 0 <= self.gamma <= 1:
            raise InvalidInput(
                f"gamma is a fraction of the mean fan-in, in [0, 1]; got {self.gamma}.", name="gamma", value=self.gamma
            )

    @functools.cached_property
    def _timing(self) -> Timing:
        return timing(self.fraction, self.interval, self.schedule, self.stop)

    def is_due(self, step: int, steps: int | None) -> bool:
        """Whether masks move after that step."""
        return self._timing.is_due(step, steps)

    def initial_density(self, density: float) -> float:
        """The density itself."""
        return density

    def __call__(self, layers: Sequence[Layer], moment: Moment) -> dict[str, Tensor]:
        """The next mask of every layer."""
        fraction = self._timing.fraction_at(moment.step, moment.steps)
        return {layer.name: self._next(layer, fraction) if layer.kept else layer.mask for layer in layers}

    def _next(self, layer: Layer, fraction: float) -> Tensor:
        mask = layer.mask.reshape(len(layer.mask), -1)
        size, gradient = (magnitude(value).reshape(mask.shape) for value in (layer.weight, layer.signal("gradient")))
        survivors, active = self._survivors(mask, size, gradient, portion(fraction, layer.kept))
        fan_in = _fan_in(layer.kept, survivors, active)
        return _fill(mask, survivors & active.unsqueeze(1), fan_in, size, gradient).reshape(layer.mask.shape)

    def _survivors(self, mask: Tensor, size: Tensor, gradient: Tensor, quota: int) -> tuple[Tensor, Tensor]:
        """The weights [rows, columns] that RigL would not drop, and the neurons [rows] that stay active."""
        kept, active = int(mask.count_nonzero()), mask.any(1)
        pruned = ~mask & active.unsqueeze(1)
        quota = min(quota, int(pruned.count_nonzero()))
        survivors = mask & ~lowest(size, mask, quota)
        salient = (survivors | highest(gradient, pruned, quota)).sum(1)
        stay = active & (salient * int(active.count_nonzero()) >= self.gamma * kept)
        needed = -(-kept // mask.shape[1])  # fewer neurons than this could not hold the layer's weights
        return survivors, stay | highest(salient, active, min(needed, int(active.count_nonzero())))


def _fan_in(kept: int, survivors: Tensor, active: Tensor) -> Tensor:
    """How many weights each neuron keeps: equal for all active ones up to one weight."""
    base, more = divmod(kept, int(active.count_nonzero()))
    return base * active + highest(survivors.sum(1), active, more)


def _fill(mask: Tensor, survivors: Tensor, fan_in: Tensor, size: Tensor, gradient: Tensor) -> Tensor:
    """Each neuron's largest survivors, then its pruned weights of largest gradient, then the largest it dropped."""
    chosen = highest_in_rows(size, survivors, torch.minimum(survivors.sum(1), fan_in))
    for scores, among in ((gradient, ~mask), (size, mask & ~survivors)):
        missing = fan_in - chosen.sum(1)
        chosen = chosen | highest_in_rows(scores, among, torch.minimum(missing, among.sum(1)))
    return chosen
