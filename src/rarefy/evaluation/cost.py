"""Counts parameters and FLOPs of a sparse model, for inference and training."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn

from rarefy.errors import InvalidInput
from rarefy.evaluation.flops import count_layer_flops
from rarefy.topology import HasCountSchedule, HasDormantWeights, Layer, Topology, UpdateStep

Counts = Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class LayerFlops:
    """FLOPs of one prunable weight in the forward pass of one image, two per multiply-add.

    Args:
        dense: FLOPs with all weights.
        kept: FLOPs of a kernel that skips zeros: ``dense * density``, rounded (exact for convolutions and linear
            layers, where every weight takes part in equally many multiply-adds).

    Example:
        >>> LayerFlops(dense=1280, kept=64).kept
        64
    """

    dense: int
    kept: int


@dataclasses.dataclass(frozen=True)
class Cost:
    """Cost of a sparse model and of the dense one. FLOPs are per image, two per multiply-add.

    Args:
        parameters: All parameters of the dense model, biases and norms included.
        prunable: Prunable weights.
        kept: Prunable weights kept.
        layers: FLOPs of a forward pass by prunable weight.
        training_dense: FLOPs of one training step of the dense model.
        training_kept: Mean FLOPs of one training step of the sparse model, rounded; includes the topology's cost.

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
        """FLOPs of the dense forward pass over all layers."""
        return sum(layer.dense for layer in self.layers.values())

    @property
    def flops_kept(self) -> int:
        """FLOPs of the sparse forward pass over all layers."""
        return sum(layer.kept for layer in self.layers.values())

    def as_dict(self) -> dict[str, Any]:
        """Returns the numbers in the form of a record."""
        layers = {name: dataclasses.asdict(layer) for name, layer in self.layers.items()}
        return {
            "parameters": {"all": self.parameters, "prunable": self.prunable, "kept": self.kept},
            "flops": {"dense": self.flops_dense, "kept": self.flops_kept, "layers": layers},
            "training_flops": {"dense": self.training_dense, "kept": self.training_kept},
        }


def compute_cost(
    model: nn.Module,
    weights: Mapping[str, Tensor],
    counts: Counts,
    shape: tuple[int, ...],
    topology: Topology,
    *,
    steps: int | None = None,
    initial: Counts | None = None,
) -> Cost:
    """Computes the cost of a sparse model from counts of multiply-adds; the model may be on the meta device.

    A training step is a forward pass, the gradients of activations and the gradients of weights; each costs as much as
    the forward pass of the weights involved: 3 f_S, or 3 f_D for a dense model. A topology adds to it:

    - if it ``needs`` the dense momentum, every step computes the gradients of all weights: 2 f_S + f_D;
    - if it ``needs`` the dense gradient, every update is an iteration of its own that costs 2 f_S + f_D, after dT steps
      of 3 f_S; the mean of an iteration is (3 f_S dT + 2 f_S + f_D) / (dT + 1);
    - if it has dormant weights (`HasDormantWeights`), every step also computes their gradients;
    - if its counts follow a schedule (`HasCountSchedule`), f_S is that of each step.

    Args:
        model: The model.
        weights: Weights by name, parameters of the model: ``models.prunable(model)``.
        counts: Number of kept weights per layer, at the end of training.
        shape: Shape of one input without the batch, ``(C, H, W)``.
        topology: The topology, from ``TOPOLOGIES`` or your own.
        steps: Optimizer steps of the training, for the mean over all of it; None: the mean over one ``interval`` of
            the topology, that is, while masks move.
        initial: Number of kept weights per layer when training starts. A `HasCountSchedule` topology needs both this
            and ``steps``; for others it makes no difference.

    Returns:
        The cost.

    Raises:
        ValueError: If counts do not fit the weights, or the topology needs ``steps`` or ``initial``.

    Example:
        >>> from rarefy.topology import TOPOLOGIES
        >>> layer = nn.Linear(8, 4)
        >>> rigl = TOPOLOGIES.build("rigl", interval=3)
        >>> result = compute_cost(layer, {"weight": layer.weight}, {"weight": 16}, (8,), rigl)
        >>> result.flops_dense, result.flops_kept, result.training_kept == (3 * 3 * 32 + 2 * 32 + 64) / 4
        (64, 32, True)

    References:
        Evci et al., 2020, arXiv:1911.11134, appendix H. Dormant weights: Jayakumar et al., 2020, arXiv:2106.03517.
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
    dense = count_layer_flops(model, weights, shape)
    training = _Training(topology, {name: tuple(weight.shape) for name, weight in weights.items()}, dense, counts)
    return Cost(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        prunable=sum(weight.numel() for weight in weights.values()),
        kept=sum(counts.values()),
        layers={name: LayerFlops(dense[name], training.scale_flops(name, counts[name])) for name in weights},
        training_dense=3 * sum(dense.values()),
        training_kept=round(training.compute_mean(start, steps)),
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
    """FLOPs of a training with the counts that the topology goes through."""

    topology: Topology
    shapes: Mapping[str, tuple[int, ...]]
    dense: Counts
    final: Counts

    def scale_flops(self, name: str, kept: int) -> int:
        return round(Fraction(self.dense[name] * kept, max(1, math.prod(self.shapes[name]))))

    def compute_mean(self, initial: Counts, steps: int | None) -> Fraction:
        """Computes the mean FLOPs per iteration; an update that uses the dense gradient is an iteration, too."""
        uses_gradient = self.topology.needs == {"gradient"}
        total, iterations = 0, 0
        for kept, length, updates in self._iterate_phases(initial, *self._list_updates(steps)):
            extra = updates if uses_gradient else 0
            total += length * self._count_step(kept) + extra * self._count_dense_gradient_step(kept)
            iterations += length + extra
        return Fraction(total, iterations)

    def _count_step(self, kept: Counts) -> int:
        """Counts a forward pass, the gradients of activations and those of the trained weights."""
        if "momentum" in self.topology.needs:
            return self._count_dense_gradient_step(kept)
        return 2 * self._count_flops(kept) + self._count_flops(self._count_trained(kept))

    def _count_dense_gradient_step(self, kept: Counts) -> int:
        return 2 * self._count_flops(kept) + sum(self.dense.values())

    def _count_flops(self, counts: Counts) -> int:
        return sum(self.scale_flops(name, kept) for name, kept in counts.items())

    def _count_trained(self, kept: Counts) -> Counts:
        if not isinstance(self.topology, HasDormantWeights):
            return kept
        masks = self.topology.backward_masks([self._make_layer(name, kept, kept) for name in kept])
        return {name: int(mask.count_nonzero()) for name, mask in masks.items()}

    def _list_updates(self, steps: int | None) -> tuple[int, list[int]]:
        """Returns the number of steps, and those after which masks move."""
        if steps is not None:
            return steps, [step for step in range(1, steps + 1) if self.topology.is_due(step, steps)]
        interval = getattr(self.topology, "interval", None)
        if interval is None and self.topology.needs:
            raise InvalidInput(f"{self.topology!r} has no interval: give the optimizer steps of the training, steps=.")
        return (interval, [interval]) if interval else (1, [])

    def _iterate_phases(self, initial: Counts, length: int, updates: list[int]) -> Iterator[tuple[Counts, int, int]]:
        """Yields (counts, steps with them, updates in or after these), from the first step to the last."""
        if not isinstance(self.topology, HasCountSchedule):
            yield self.final, length, len(updates)
            return
        kept, start = initial, 0
        for step in updates:
            yield kept, step - start, 1
            update_step = UpdateStep(step, length, seed=0)  # counts do not depend on the seed
            kept = {name: self.topology.count(self._make_layer(name, kept, initial), update_step) for name in kept}
            start = step
        yield kept, length - start, 0

    def _make_layer(self, name: str, kept: Counts, initial: Counts) -> Layer:
        """Makes a layer with that many kept weights, to pass to the topology."""
        mask = torch.zeros(self.shapes[name], dtype=torch.bool)
        mask.view(-1)[: kept[name]] = True
        weight = torch.zeros(()).expand(self.shapes[name])
        return Layer(name, weight, mask, None, None, mask, initial[name], self.final[name])
