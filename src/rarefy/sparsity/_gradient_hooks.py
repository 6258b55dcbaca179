"""Hooks on masked weights: they mask gradients for optimizers that move weights before their step (SAM)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from rarefy.shards import is_sharded, shard_like
from rarefy.sparsity._masked_model import MaskedModel
from rarefy.sparsity._versions import read_versions

_LOG = logging.getLogger("rarefy")
_MANY = 32  # backward passes without a step after which another optimizer seems to be stepped


class GradientHooks:
    """Masks gradients as they are computed, for an optimizer that moves the weights by them before its step.

    SAM adds a multiple of the gradient to the weights and makes a second backward pass there. If pruned weights had a
    gradient, that pass would be dense. No optimizer hook is called in between, so tensor hooks of the weights mask
    their gradients. Of other optimizers one weight is watched until the first step.

    Args:
        masked: The masked model.
        chain: The optimizer with what it wraps, outermost first.

    Attributes:
        is_watching: Whether one weight is watched, because no step was made yet.
    """

    def __init__(self, masked: MaskedModel, chain: list[torch.optim.Optimizer]) -> None:
        self.is_watching = False
        self._masked = masked
        self._optimizer_name = type(chain[-1]).__name__
        self._moves_first = any(hasattr(optimizer, "first_step") for optimizer in chain)
        self._has_stepped = False
        self._hooks: list[Any] = []
        self._dense: dict[str, Tensor] = {}
        self._state: object = None  # of the watched weight, after its last backward pass
        self._count = 0

    def start(self, weights: Mapping[str, nn.Parameter]) -> None:
        """Begins to mask gradients, or to watch one weight; called again after weights were replaced.

        Args:
            weights: Name to weight, of the layers that have every weight.
        """
        self.stop()
        able = {name: w for name, w in weights.items() if w.requires_grad and not is_sharded(w)}
        if self._moves_first:
            self._hooks = [_hook(weight, partial(self._mask, name, weight)) for name, weight in able.items()]
        elif able and not self._has_stepped:
            self.is_watching, self._watched, self._state = True, next(iter(able.values())), None
            self._hooks = [_hook(self._watched, self._watch)]

    def stop(self) -> None:
        """Removes the hooks from the weights."""
        for hook in self._hooks:
            hook.remove()
        self._hooks, self.is_watching = [], False

    def check_moved(self, weights: Mapping[str, nn.Parameter]) -> None:
        """Checks, at the first step, whether the watched weight was moved since the last backward pass."""
        was_moved = self._state is not None and self._state != _describe(self._watched)
        self.stop()
        self._has_stepped = True
        if was_moved:
            self._moves_first = True
            self.start(weights)
            text = (
                "The weights of %s were moved between the last backward pass and its step, as SAM does: the pass saw "
                "pruned weights that were not 0. From now on their gradients are masked at once; attach the optimizer "
                "that moves them, not the one inside it, to get this from the start."
            )
            _LOG.warning(text, self._optimizer_name)

    def pop_dense(self, weights: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
        """Returns name to dense gradient as it was before it was masked, and forgets it."""
        masks = self._masked.masks
        dense = {name: _rescale(gradient, weights[name], masks[name]) for name, gradient in self._dense.items()}
        self._dense = {}
        return dense

    def _mask(self, name: str, weight: nn.Parameter, gradient: Tensor) -> Tensor:
        """Masks the gradient of one backward pass, before torch adds it to ``weight.grad``."""
        if self._masked.topology.needs:
            is_first = weight.grad is None or not bool(weight.grad.any())
            before = None if is_first else self._dense.get(name)
            self._dense[name] = gradient.clone() if before is None else before + gradient
        return gradient.masked_fill(shard_like(self._masked.masks[name], gradient).logical_not(), 0)

    def _watch(self, gradient: Tensor) -> None:
        self._state = _describe(self._watched)
        self._count += 1
        if self._count == _MANY:
            text = (
                "%d backward passes and no step of %s, to which the masks are attached: is it another optimizer that "
                "is stepped? Attach that one. If gradients are accumulated over so many passes, ignore this."
            )
            _LOG.warning(text, self._count, self._optimizer_name)


def _hook(weight: Tensor, act: Any) -> Any:
    return weight.register_hook(act)  # type: ignore[no-untyped-call]


def _describe(weight: Tensor) -> object:
    return read_versions({"": weight}), weight.data_ptr()


def _rescale(dense: Tensor, weight: nn.Parameter, mask: Tensor) -> Tensor:
    """Scales a dense gradient as its kept part was scaled since (unscaling, clipping)."""
    if weight.grad is None:
        return dense
    kept = dense.masked_fill(shard_like(mask, dense).logical_not(), 0)
    factor = float(weight.grad.norm() / kept.norm())
    return dense * factor if abs(factor - 1) > 1e-4 else dense  # nan: there was no gradient at all
