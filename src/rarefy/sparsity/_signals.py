"""What a topology looks at: dense gradients of the current step, and their momentum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from rarefy.shards import shard_like, to_full
from rarefy.sparsity._diagnostics import Diagnostics
from rarefy.sparsity._gradient_hooks import GradientHooks
from rarefy.sparsity._held_weights import HeldWeights
from rarefy.sparsity._masked_model import MaskedModel
from rarefy.sparsity._value_storage import DenseGradients

_DECAY = 0.9  # of the dense momentum, where the optimizer has none of its own


class Signals:
    """Gradients and momentum of the layers of one optimizer, kept only for steps that look at them.

    Args:
        masked: The masked model.
        hooks: What has the dense gradients that were masked as they were computed.
        diagnostics: Diagnostics that also look at the gradients; None for none.

    Attributes:
        is_armed: Whether the gradients of the current step are recorded.
        momentum: Layer name to the dense momentum, where the topology needs one.
    """

    def __init__(self, masked: MaskedModel, hooks: GradientHooks, diagnostics: Diagnostics | None) -> None:
        self.is_armed = False
        self.momentum: dict[str, Tensor] = {}
        self._masked = masked
        self._hooks = hooks
        self._watch = diagnostics
        self._gradients: dict[str, Tensor] = {}
        self._is_recorded = False  # whether this step's gradients were recorded
        self._dense_weights: dict[str, nn.Parameter] = {}
        self._moved: list[str] = []
        self._sparse_gradients = DenseGradients({})

    def follow(self, held: HeldWeights) -> None:
        """Takes the layers that the optimizer holds now."""
        self._dense_weights, self._moved = held.dense, held.names
        self._sparse_gradients.arm(False)
        self._sparse_gradients = DenseGradients(self._masked.sparse_layers(held.weights))

    def arm(self, step: int, steps: int | None) -> None:
        """Forgets the last step's gradients; sparse layers compute dense ones in the next if these are looked at."""
        self._gradients, self._is_recorded = {}, False
        self.is_armed = bool(self._watch) or self._is_wanted(step, steps)
        self._sparse_gradients.arm(self.is_armed)

    def disarm(self) -> None:
        """Asks for no more dense gradients."""
        self._sparse_gradients.arm(False)

    def read_gradients(self) -> dict[str, Tensor]:
        """Reads the gradients of the layers that have every weight."""
        return {name: grad for name, weight in self._dense_weights.items() if (grad := weight.grad) is not None}

    def record(self, step: int, steps: int | None, scale: Tensor | None) -> None:
        """Records the gradients that an update will look at, as they are before they are masked.

        The second call of a step finds gradients that are masked, and keeps those of the first. Gradients of a step
        that was not made (skipped by a `GradScaler`, or by the user) are replaced.

        Args:
            step: The current step.
            steps: Steps planned.
            scale: What a fused optimizer will divide the gradients by.
        """
        is_wanted = self._is_wanted(step, steps)
        if not (is_wanted or self._watch):
            return
        gradients = {name: _densify(gradient) for name, gradient in self.read_gradients().items()}
        if self._is_recorded and self._are_masked(gradients) and not self._sparse_gradients.is_fresh:
            return
        gradients |= self._sparse_gradients.read() | self._hooks.pop_dense(self._dense_weights)
        self._is_recorded = True
        if self._watch:
            self._watch.record_gradients(gradients, self._masked.masks)
        own = {name: gradients[name].detach() for name in self._moved if name in gradients} if is_wanted else {}
        self._gradients = {name: grad.clone() if scale is None else grad / scale for name, grad in own.items()}

    def accumulate_momentum(self, weights: Mapping[str, Tensor], groups: Mapping[int, Mapping[str, Any]]) -> None:
        """Adds the step's gradients to the dense momentum; the optimizer's own is 0 where weights are pruned.

        Args:
            weights: Name to weight.
            groups: Id of a weight to its parameter group, whose momentum factor is taken.
        """
        for name, gradient in self._gradients.items():
            before = self.momentum.get(name)
            decay = _read_decay(groups.get(id(weights[name]), {}))
            self.momentum[name] = gradient if before is None else before.mul_(decay).add_(gradient)

    def gather_gradient(self, name: str) -> Tensor | None:
        """Gathers the whole gradient of a layer, if it was recorded."""
        return _gather(self._gradients.get(name))

    def gather_momentum(self, name: str) -> Tensor | None:
        """Gathers the whole momentum of a layer, if there is one."""
        return _gather(self.momentum.get(name))

    def _is_wanted(self, step: int, steps: int | None) -> bool:
        """Whether the topology looks at the gradients of that step."""
        topology = self._masked.topology
        return bool(topology.needs) and ("momentum" in topology.needs or topology.is_due(step, steps))

    def _are_masked(self, gradients: Mapping[str, Tensor]) -> bool:
        masks = self._masked.masks
        pruned = (grad.masked_fill(shard_like(masks[name], grad), 0) for name, grad in gradients.items())
        return not any(bool(to_full(values.any())) for values in pruned)


def _read_decay(group: Mapping[str, Any]) -> float:
    return float(group.get("momentum") or group.get("betas", (_DECAY,))[0])


def _densify(gradient: Tensor) -> Tensor:
    return gradient.to_dense() if gradient.is_sparse else gradient


def _gather(signal: Tensor | None) -> Tensor | None:
    return None if signal is None else to_full(signal)
