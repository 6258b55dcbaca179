"""Structured RigL: constant fan-in and neuron ablation."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from rarefy.errors import InvalidInput
from rarefy.topology._drop_and_grow import build_update_schedule
from rarefy.topology._select import compute_magnitude, mark_highest, mark_highest_per_row
from rarefy.topology._update import TOPOLOGIES, Layer, Scope, UpdateStep
from rarefy.topology._update_schedule import UpdateSchedule, compute_drop_count


@TOPOLOGIES.register("srigl")
@dataclasses.dataclass(frozen=True)
class StructuredRigL:
    """RigL under which all active neurons of a layer keep the same number of weights.

    A neuron is an output unit or filter: dimension 0 of the weight. A weight is salient when RigL would not drop it, or
    when it is among the weights with the largest gradients, as many as RigL would grow. At every update a neuron with
    fewer salient weights than ``gamma`` times the layer's fan-in is ablated, and its weights go to the others; it
    returns when its gradients make it salient again. Neurons of the model's last layer, its outputs, are never ablated.

    Where the layer's count is not divisible by the number of active neurons, fan-ins differ by one: the neurons with
    the most surviving weights (ties: the lower index) get one more, so the count stays exact. A dropped weight may grow
    again in the same update, and then keeps its value. A mask without constant fan-in gets one at the first update.

    Args:
        fraction: Fraction of a layer's weights dropped at first, in (0, 1).
        interval: Optimizer steps between updates.
        schedule: How the fraction falls: ``cosine``, ``linear`` or ``constant``.
        stop: Fraction of all steps after which nothing moves.
        gamma: Salient weights that a neuron needs, as a fraction of the fan-in without ablation, in [0, 1]; at least
            one weight. 0 ablates no neuron. The paper uses 0.3 for convolutional networks and 0.95 for ViTs.

    Example:
        >>> StructuredRigL().needs
        frozenset({'gradient'})

    References:
        Lasby et al., 2024, arXiv:2305.02299, section 3.
    """

    title: ClassVar[str] = "SRigL"
    fraction: float = 0.3
    interval: int = 100
    schedule: str = "cosine"
    stop: float = 0.75
    gamma: float = 0.3
    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})
    scope: ClassVar[Scope] = "layer"

    def __post_init__(self) -> None:
        _ = self._schedule
        if not 0 <= self.gamma <= 1:
            raise InvalidInput(
                f"gamma is a fraction of the mean fan-in, in [0, 1]; got {self.gamma}.", name="gamma", value=self.gamma
            )

    @functools.cached_property
    def _schedule(self) -> UpdateSchedule:
        return build_update_schedule(self.fraction, self.interval, self.schedule, self.stop)

    def is_due(self, step: int, steps: int | None) -> bool:
        """Whether masks move after that step."""
        return self._schedule.is_due(step, steps)

    def initial_density(self, density: float) -> float:
        """The density itself."""
        return density

    def __call__(self, layers: Sequence[Layer], update_step: UpdateStep) -> dict[str, Tensor]:
        """Computes the next mask of every layer."""
        fraction = self._schedule.compute_fraction(update_step.step, update_step.steps)
        return {layer.name: self._compute_mask(layer, fraction) if layer.kept else layer.mask for layer in layers}

    def _compute_mask(self, layer: Layer, fraction: float) -> Tensor:
        mask = layer.mask.reshape(len(layer.mask), -1)
        size, gradient = (
            compute_magnitude(value).reshape(mask.shape) for value in (layer.weight, layer.require("gradient"))
        )
        dropped = compute_drop_count(fraction, layer.kept)
        active = torch.ones_like(mask[:, 0])
        if self.gamma and not layer.is_output:
            active = self._mark_active(mask, size, gradient, dropped)
        candidates = mask & active.unsqueeze(1)
        survivors = mark_highest(size, candidates, min(layer.kept - dropped, int(candidates.count_nonzero())))
        fan_in = _compute_fan_in(layer.kept, survivors, active)
        return _fill_neurons(survivors, fan_in, size, gradient).reshape(layer.mask.shape)

    def _mark_active(self, mask: Tensor, size: Tensor, gradient: Tensor, dropped: int) -> Tensor:
        """Marks the neurons [rows] with enough salient weights; never fewer than can hold the layer's weights."""
        rows, columns = mask.shape
        kept = int(mask.count_nonzero())
        stays = mark_highest(size, mask, kept - dropped)
        salient = (stays | mark_highest(gradient, torch.ones_like(mask), dropped)).sum(1)
        needed = max(1, math.floor(self.gamma * (kept // rows)))
        most = salient.sort(descending=True).values[min(kept // columns, rows - 1)]
        return salient >= most.clamp(max=needed)


def _compute_fan_in(kept: int, survivors: Tensor, active: Tensor) -> Tensor:
    """Computes how many weights each neuron keeps: the same for all active ones, or one more."""
    base, extra = divmod(kept, int(active.count_nonzero()))
    return base * active + mark_highest(survivors.sum(1), active, extra)


def _fill_neurons(survivors: Tensor, fan_in: Tensor, size: Tensor, gradient: Tensor) -> Tensor:
    """Marks each neuron's largest survivors, then its other weights with the largest gradients."""
    chosen = mark_highest_per_row(size, survivors, torch.minimum(survivors.sum(1), fan_in))
    return chosen | mark_highest_per_row(gradient, ~chosen, fan_in - chosen.sum(1))
