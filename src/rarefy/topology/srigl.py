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
from rarefy.topology._compose import timing
from rarefy.topology._schedule import Timing, portion
from rarefy.topology._select import highest, highest_in_rows, magnitude
from rarefy.topology._update import TOPOLOGIES, Layer, Moment, Scope


@TOPOLOGIES.register("srigl")
@dataclasses.dataclass(frozen=True)
class StructuredRigL:
    """RigL under which all active neurons of a layer keep the same number of weights.

    A neuron is an output unit or filter: dimension 0 of the weight. A weight is salient when it is among the kept that
    RigL would not drop, or among as many of largest gradient as RigL would grow. At every update a neuron with fewer
    salient weights than ``gamma`` times the layer's fan-in is ablated, and its weights go to the others; it comes back
    when its gradients make it salient again. Neurons of the model's last layer are its answers and never ablated.

    Where the layer's count is not divisible by the active neurons, fan-ins differ by one: those of which most survive
    (ties: the lower index) get one more. So the count stays exact. A weight that is dropped may grow again in the same
    update, and then keeps its value. A mask that has no constant fan-in yet gets it at the first update.

    Args:
        fraction: Fraction of a layer's weights dropped at first, in (0, 1).
        interval: Optimizer steps between updates.
        schedule: How the fraction falls: ``cosine``, ``linear`` or ``constant``.
        stop: Fraction of all steps after which nothing moves.
        gamma: Salient weights a neuron needs, as a fraction of the fan-in if none is ablated, in [0, 1], and at least
            one; 0 ablates none. The paper uses 0.3 for convolutional networks and 0.95 for vision transformers.

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
        dropped = portion(fraction, layer.kept)
        active = torch.ones_like(mask[:, 0])
        if self.gamma and not layer.is_output:
            active = self._active(mask, size, gradient, dropped)
        candidates = mask & active.unsqueeze(1)
        survivors = highest(size, candidates, min(layer.kept - dropped, int(candidates.count_nonzero())))
        fan_in = _fan_in(layer.kept, survivors, active)
        return _fill(survivors, fan_in, size, gradient).reshape(layer.mask.shape)

    def _active(self, mask: Tensor, size: Tensor, gradient: Tensor, dropped: int) -> Tensor:
        """Finds the neurons [rows] with enough salient weights; never fewer than could hold the layer's weights."""
        rows, columns = mask.shape
        kept = int(mask.count_nonzero())
        stays = highest(size, mask, kept - dropped)
        salient = (stays | highest(gradient, torch.ones_like(mask), dropped)).sum(1)
        needed = max(1, math.floor(self.gamma * (kept // rows)))
        most = salient.sort(descending=True).values[min(kept // columns, rows - 1)]
        return salient >= most.clamp(max=needed)


def _fan_in(kept: int, survivors: Tensor, active: Tensor) -> Tensor:
    """How many weights each neuron keeps: equal for all active ones up to one weight."""
    base, more = divmod(kept, int(active.count_nonzero()))
    return base * active + highest(survivors.sum(1), active, more)


def _fill(survivors: Tensor, fan_in: Tensor, size: Tensor, gradient: Tensor) -> Tensor:
    """Each neuron's largest survivors, then its other weights of largest gradient."""
    chosen = highest_in_rows(size, survivors, torch.minimum(survivors.sum(1), fan_in))
    return chosen | highest_in_rows(gradient, ~chosen, fan_in - chosen.sum(1))
