"""What a sparse model costs: parameters kept, and the FLOPs of using and of training it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn

from rarefy.errors import InvalidInput
from rarefy.evaluation.flops import layer_flops
from rarefy.topology import HasCountSchedule, HasDormantWeights, Layer, Topology, UpdateStep

Counts = Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class LayerFlops:
    """FLOPs of one prunable weight in the forward pass of one image, two per multiply-add.

    Args:
        dense: With every weight.
        kept: ``dense * density``: what a kernel that skips zeros computes. It is whole where every weight takes part in
            equally many multiply-adds (convolutions and linear layers); else it is rounded to the nearest whole number.

    Example:
        >>> LayerFlops(dense=1280, kept=64).kept
        64
    """

    dense: int
    kept: int


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a sparse model costs, beside the dense one. FLOPs are of one image, two per multiply-add.

    Args:
        parameters: All parameters of the dense model, biases and norms included.
        prunable: Prunable weights.
        kept: Prunable weights kept.
        layers: Name of a prunable weight to its FLOPs in a forward pass.
        training_dense: FLOPs of one training step of the dense model.
        training_kept: Of the sparse one, the topology's own cost included; the mean over the training, rounded.

    Example:
        >>> Cost(74, 64, 8, {"weight": LayerFlops(128, 16)}, training_dense=384, training_kept=48).flops_kept
        16
    """

    parameters: int
    prunable: int
    kept: int
    layers: Mapping[str, LayerFlops]
    training_dense: int
    training_kept: int

    @property
    def flops_dense(self) -> int:
        """FLOPs of the dense forward pass, all layers together."""
        return sum(layer.dense for layer in self.layers.values())

    @property
    def flops_kept(self) -> int:
        """FLOPs of the sparse forward pass, all layers together."""
        return sum(layer.kept for layer in self.layers.values())

    def as_dict(self) -> dict[str, Any]:
        """The numbers as they stand in a record."""
        layers = {name: dataclasses.asdict(layer) for name, layer in self.layers.items()}
        return {
            "parameters": {"all": self.parameters, "prunable": self.prunable, "kept": self.kept},
            "flops": {"dense": self.flops_dense, "kept": self.flops_kept, "layers": layers},
            "training_flops": {"dense": self.training_dense, "kept": self.training_kept},
        }


def cost(
    model: nn.Module,
    weights: Mapping[str, Tensor],
    counts: Counts,
    shape: tuple[int, ...],
    topology: Topology,
    *,
    steps: int | None = None,
    initial: Counts | None = None,
) -> Cost:
    """What a sparse model costs by count of multiply-adds; nothing is computed, the model may be on the meta device.

    A training step is a forward pass, the gradients of activations and the gradients of weights, each as dear as the
    forward pass of the weights in it: 3 f_S, or 3 f_D for a dense model. What a topology adds it says itself:

    - it ``needs`` the dense momentum: every step has all weights' gradients, 2 f_S + f_D;
    - it ``needs`` the dense gradient: every update is an iteration of its own that costs 2 f_S + f_D, after dT steps of
      3 f_S; the mean of an iteration is (3 f_S dT + 2 f_S + f_D) / (dT + 1);
    - it has a reserve (`HasDormantWeights`): every step also has the gradients of the weights trained in it;
    - its counts follow a schedule (`HasCountSchedule`): f_S is what it is at each step.

    Args:
        model: The model.
        weights: Layer name to weight, parameters of the model: ``models.prunable(model)``.
        counts: How many weights each layer keeps, at the end of a training that changes it.
        shape: Shape of one input without the batch, ``(C, H, W)``.
        topology: How the masks move; a method of ``TOPOLOGIES`` or one's own.
        steps: Optimizer steps of the training, for the mean over just its updates. Without, the mean is over one
            ``interval`` of the topology: what training costs while masks move.
        initial: How many weights each layer keeps when training starts. A `HasCountSchedule` topology starts with
            others than ``counts`` and needs both this and ``steps``; for all others it makes no difference.

    Returns:
        The cost.

    Raises:
        ValueError: If counts do not fit the weights, or the topology needs ``steps`` or ``initial`` and has none.

    Example:
        >>> from rarefy.topology import TOPOLOGIES
        >>> layer = nn.Linear(8, 4)
        >>> rigl = TOPOLOGIES.build("rigl", interval=3)
        >>> found = cost(layer, {"weight": layer.weight}, {"weight": 16}, (8,), rigl)
        >>> found.flops_dense, found.flops_kept, found.training_kept == (3 * 3 * 32 + 2 * 32 + 64) / 4
        (64, 32, True)

    References:
        Evci et al., 2020, arXiv:1911.11134, appendix H. The reserve: Jayakumar et al., 2020, arXiv:2106.03517.
    """
    if steps is not None and steps < 1:
        raise InvalidInput(
            f"steps is the number of optimizer steps of the training, 1 or more; got {steps}.",
            name="steps",
            value=steps,
        )
    if isinstance(topology, HasCountSchedule) and (steps is None or initial is None):
        raise InvalidInput(
            f"{topology!r} changes the counts while it trains: give steps= and initial=, the first counts."
        )
    start = counts if initial is None else initial
    _check(counts, weights)
    _check(start, weights)
    dense = layer_flops(model, weights, shape)
    training = _Training(topology, {name: tuple(weight.shape) for name, weight in weights.items()}, dense, counts)
    return Cost(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        prunable=sum(weight.numel() for weight in weights.values()),
        kept=sum(counts.values()),
        layers={name: LayerFlops(dense[name], training.flops_of(name, counts[name])) for name in weights},
        training_dense=3 * sum(dense.values()),
        training_kept=round(training.mean(start, steps)),
    )


def _check(counts: Counts, weights: Mapping[str, Tensor]) -> None:
    wrong = sorted(counts.keys() ^ weights.keys())
    if wrong:
        raise InvalidInput(f"Every weight needs a count, and every count a weight; {wrong[0]!r} has only one of them.")
    for name, weight in weights.items():
        if not 0 <= counts[name] <= weight.numel():
            raise InvalidInput(f"{name!r} has {weight.numel()} weights and cannot keep {counts[name]} of them.")


@dataclasses.dataclass(frozen=True)
class _Training:
    """FLOPs of a training, from the counts that the topology goes through."""

    topology: Topology
    shapes: Mapping[str, tuple[int, ...]]
    dense: Counts
    final: Counts

    def flops_of(self, name: str, kept: int) -> int:
        return round(Fraction(self.dense[name] * kept, max(1, math.prod(self.shapes[name]))))

    def mean(self, initial: Counts, steps: int | None) -> Fraction:
        """Of one iteration; an update that looks at the dense gradient is one, too."""
        looks = self.topology.needs == {"gradient"}
        total, iterations = 0, 0
        for kept, length, updates in self._stretches(initial, *self._updates(steps)):
            extra = updates if looks else 0
            total += length * self._step(kept) + extra * self._with_dense_gradient(kept)
            iterations += length + extra
        return Fraction(total, iterations)

    def _step(self, kept: Counts) -> int:
        """Forwards, gradients of activations, and gradients of the weights that are trained or looked at."""
        if "momentum" in self.topology.needs:
            return self._with_dense_gradient(kept)
        return 2 * self._flops(kept) + self._flops(self._trained(kept))

    def _with_dense_gradient(self, kept: Counts) -> int:
        return 2 * self._flops(kept) + sum(self.dense.values())

    def _flops(self, counts: Counts) -> int:
        return sum(self.flops_of(name, kept) for name, kept in counts.items())

    def _trained(self, kept: Counts) -> Counts:
        if not isinstance(self.topology, HasDormantWeights):
            return kept
        masks = self.topology.backward_masks([self._layer(name, kept, kept) for name in kept])
        return {name: int(mask.count_nonzero()) for name, mask in masks.items()}

    def _updates(self, steps: int | None) -> tuple[int, list[int]]:
        """How many steps there are, and those after which masks move."""
        if steps is not None:
            return steps, [step for step in range(1, steps + 1) if self.topology.is_due(step, steps)]
        interval = getattr(self.topology, "interval", None)
        if interval is None and self.topology.needs:
            raise InvalidInput(f"{self.topology!r} has no interval: give the optimizer steps of the training, steps=.")
        return (interval, [interval]) if interval else (1, [])

    def _stretches(self, initial: Counts, length: int, updates: list[int]) -> Iterator[tuple[Counts, int, int]]:
        """(counts, steps with them, updates in or after these), from the first step to the last."""
        if not isinstance(self.topology, HasCountSchedule):
            yield self.final, length, len(updates)
            return
        kept, start = initial, 0
        for step in updates:
            yield kept, step - start, 1
            update_step = UpdateStep(step, length, seed=0)  # counts are no random choice
            kept = {name: self.topology.count(self._layer(name, kept, initial), update_step) for name in kept}
            start = step
        yield kept, length - start, 0

    def _layer(self, name: str, kept: Counts, initial: Counts) -> Layer:
        """A layer with that many weights, for a topology that is asked about counts."""
        mask = torch.zeros(self.shapes[name], dtype=torch.bool)
        mask.view(-1)[: kept[name]] = True
        weight = torch.zeros(()).expand(self.shapes[name])
        return Layer(name, weight, mask, None, None, mask, initial[name], self.final[name])
