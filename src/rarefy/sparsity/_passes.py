"""Backward passes between two steps: of optimizers that make several and move the weights for it (SAM), and of none."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from rarefy.shards import is_sharded, placed

if TYPE_CHECKING:
    from rarefy.sparsity._sparsity import Sparsity

_LOG = logging.getLogger("rarefy")
_MANY = 32  # backward passes before the first step from which on somebody seems to step another optimizer


class Passes:
    """Masks gradients as they are computed, for an optimizer that moves the weights by them before its step.

    SAM adds a multiple of the gradient to the weights, and makes a second pass there: had pruned weights a gradient,
    that pass would be dense. No hook of an optimizer is called before it, so hooks of the weights put the masks on
    their gradients. Other optimizers are only watched until their first step.

    Args:
        sparsity: Whose masks hold.
        chain: The optimizer with what it wraps, outermost first.
    """

    def __init__(self, sparsity: Sparsity, chain: list[torch.optim.Optimizer]) -> None:
        self._sparsity = sparsity
        self._name = type(chain[-1]).__name__
        self._moves_first = any(hasattr(optimizer, "first_step") for optimizer in chain)
        self._hooks: list[Any] = []
        self._dense: dict[str, Tensor] = {}
        self._watched: Tensor | None = None
        self._seen: object = None
        self._count = 0

    def start(self, weights: Mapping[str, nn.Parameter]) -> None:
        """Begins to mask gradients, or to watch one weight; called again after weights have been exchanged.

        Args:
            weights: Name to weight, of the layers that have all weights.
        """
        watching = self._watched is not None or not self._hooks
        self.stop()
        able = {name: w for name, w in weights.items() if w.requires_grad and not is_sharded(w)}
        if self._moves_first:
            self._hooks = [_hook(weight, partial(self._mask, name)) for name, weight in able.items()]
        elif able and watching:
            self._watched, self._seen = next(iter(able.values())), None
            self._hooks = [_hook(self._watched, self._watch)]

    def stop(self) -> None:
        """Takes the hooks off the weights."""
        for hook in self._hooks:
            hook.remove()
        self._hooks, self._watched = [], None

    def look(self, weights: Mapping[str, nn.Parameter]) -> None:
        """Looks, at the first step, whether the weights have moved since the last backward pass."""
        if self._watched is None:
            return
        moved = self._seen is not None and self._seen != _describe(self._watched)
        self.stop()
        if moved:
            self._moves_first = True
            self.start(weights)
            text = (
                "The weights of %s were moved between the last backward pass and its step, as SAM does: the pass saw "
                "pruned weights that were not 0. From now on their gradients are masked at once; attach the optimizer "
                "that moves them, not the one inside of it, to have that from the start."
            )
            _LOG.warning(text, self._name)

    def read(self, weights: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
        """Name to dense gradient, of which the gradients that are there are the kept part."""
        found = {
            name: _rescale(dense, weights[name], self._sparsity.masks[name]) for name, dense in self._dense.items()
        }
        self._dense = {}
        return found

    def _mask(self, name: str, gradient: Tensor) -> Tensor:
        """Called with the gradient of one pass, before it is added to what is there."""
        weight = self._sparsity.weights()[name]
        if self._sparsity.topology.needs:
            is_first = weight.grad is None or not bool(weight.grad.any())
            before = None if is_first else self._dense.get(name)
            self._dense[name] = gradient.clone() if before is None else before + gradient
        return gradient.masked_fill(placed(self._sparsity.masks[name], gradient).logical_not(), 0)

    def _watch(self, gradient: Tensor) -> None:
        assert self._watched is not None
        self._seen = _describe(self._watched)
        self._count += 1
        if self._count == _MANY:
            text = (
                "%d backward passes and no step of %s, to which the masks are attached: is it another optimizer that "
                "is stepped? Attach that one. If gradients are added up over so many passes, all is well."
            )
            _LOG.warning(text, self._count, self._name)


def _hook(weight: Tensor, act: Any) -> Any:
    return weight.register_hook(act)  # type: ignore[no-untyped-call]


def _describe(weight: Tensor) -> object:
    return weight._version, weight.data_ptr()


def _rescale(dense: Tensor, weight: nn.Parameter, mask: Tensor) -> Tensor:
    """What was done to the kept part of a gradient since (unscaling, clipping) is done to all of it."""
    if weight.grad is None:
        return dense
    kept = dense.masked_fill(placed(mask, dense).logical_not(), 0)
    factor = float(weight.grad.norm() / kept.norm())
    return dense * factor if abs(factor - 1) > 1e-4 else dense  # nan: there was no gradient at all
