"""Gradients of values in blocks.

Where a convolution or pooling is the first operation that reads an activation, its input gradient is the last part of
the activation's gradient. So its kernel adds the other parts, applies the mask of the ReLU and computes the sums for
batch norm while the values are in the cache. In any other order the same is computed in more passes over memory.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rarefy.engines._cpu.blocked import _calls
from rarefy.engines._cpu.blocked._layout import from_blocked, to_blocked
from rarefy.engines._cpu.blocked._memory import EMPTY, BlockedTensor
from rarefy.engines._cpu.blocked._operands import NO_EPILOGUE, BackwardEpilogue, LazyGradient, Sums
from rarefy.engines._cpu.fusion._deferred import DeferredTensor
from rarefy.engines._cpu.fusion._values import ELEMENTWISE, Value, add_gradients, store_gradient
from rarefy.engines._torch_internals import get_backward_pass

_NO_SUMS = np.empty((0, 0, 3))


class Activation(NamedTuple):
    """Batch norms, their sum and the ReLU after it, between which no other code reads a value.

    Args:
        head: The last value.
        inner: The sum or batch norm before the ReLU, if the activation includes it.
        normed: Its batch norms, at most two.
    """

    head: Value
    inner: Value | None
    normed: tuple[Value, ...]

    @staticmethod
    def of(head: Value) -> Activation:
        """Finds the activation that ends in a value."""
        inner: Value | None = head
        if head.kind == "relu":
            before = head.parents[0]
            inner = before if before.kind in ("norm", "add") and before.is_private else None
        if inner is None:
            return Activation(head, None, ())
        if inner.kind == "norm":
            return Activation(head, inner, (inner,))
        return Activation(
            head, inner, tuple(value for value in inner.parents if value.kind == "norm" and value.is_private)
        )

    def epilogue(self, add: BlockedTensor | None) -> BackwardEpilogue:
        """Makes the epilogue of the head's gradient: the mask of the ReLU and the sums for batch norm."""
        seen = self.head.activation()
        maps = [value.parents[0].store().data for value in self.normed] + [seen.maps.data] * 2
        means = [value.norm_numbers[0] for value in self.normed if value.norm_numbers is not None] + [EMPTY, EMPTY]
        return BackwardEpilogue(
            True, add is not None, self.head.relu, len(self.normed), add.data if add else EMPTY, seen.maps.data,
            seen.a, seen.c, maps[0], means[0], maps[1], means[1], NO_EPILOGUE.sums,
        )  # fmt: skip


@dataclasses.dataclass(eq=False)
class PendingGradient:
    """A gradient that is not stored yet."""

    is_gradient: ClassVar[bool] = True
    strides: ClassVar[None] = None
    shape: torch.Size
    lazy: LazyGradient

    def tensor(self) -> Tensor:
        """Returns it as an ordinary tensor."""
        return from_blocked(store_gradient(self.lazy)).view(self.shape)

    def add(self, other: Tensor) -> Tensor:
        """Adds another gradient."""
        if isinstance(other, DeferredTensor) and isinstance(other.value, FinishedGradient):
            return other.value.add(DeferredTensor.of(self))
        total = add_gradients(store_gradient(self.lazy), store_gradient(to_lazy_gradient(other)))
        return DeferredTensor.of(PendingGradient(self.shape, LazyGradient.plain(total)))


@dataclasses.dataclass(eq=False)
class FinishedGradient:
    """The gradient before an activation's ReLU, and the sums for its batch norms."""

    is_gradient: ClassVar[bool] = True
    strides: ClassVar[None] = None
    shape: torch.Size
    activation: Activation
    maps: BlockedTensor
    sums: Sums

    def tensor(self) -> Tensor:
        """Raises RuntimeError: only the activation may read it."""
        raise RuntimeError(_HOOK_ON_NODE)

    def add(self, other: Tensor) -> Tensor:
        """Adds a gradient that arrived after the kernel ran."""
        rest = finish_grad(self.activation, store_gradient(to_lazy_gradient(other)))
        total = add_gradients(self.maps, rest.maps)
        sums = np.concatenate([self.sums, rest.sums]) if self.sums.size else self.sums
        return DeferredTensor.of(FinishedGradient(self.shape, self.activation, total, sums))


_HOOK_ON_NODE = (
    "A hook on a node of autograd's graph sees a gradient that the engine 'cpu' has fused with others. Put the hook on "
    "the tensor (tensor.register_hook) before the backward pass, or use the engine 'masked'."
)


def to_lazy_gradient(gradient: Tensor) -> LazyGradient:
    """Converts any gradient to a lazy one."""
    if isinstance(gradient, DeferredTensor) and isinstance(gradient.value, PendingGradient):
        return gradient.value.lazy
    tensor = gradient.value.tensor() if isinstance(gradient, DeferredTensor) else gradient
    return LazyGradient.plain(to_blocked(tensor))


def pop_grad(value: Value, gradient: Tensor) -> LazyGradient:
    """Removes and returns a value's whole gradient, for the node that computed the value."""
    lazy, waiting = to_lazy_gradient(gradient), pop_waiting_grad(value)
    return lazy if waiting is None else LazyGradient.plain(add_gradients(store_gradient(lazy), waiting))


def pop_finished_grad(value: Value, gradient: Tensor) -> FinishedGradient:
    """Removes and returns the gradient of an activation's value, with the mask applied and the sums computed."""
    if isinstance(gradient, DeferredTensor) and isinstance(gradient.value, FinishedGradient):
        waiting = pop_waiting_grad(value)
        if waiting is None:
            return gradient.value
        late = DeferredTensor.of(PendingGradient(value.shape, LazyGradient.plain(waiting)))
        return gradient.value.add(late).value  # type: ignore[attr-defined, no-any-return]
    return finish_grad(Activation.of(value), store_gradient(pop_grad(value, gradient)))


def finish_grad(activation: Activation, maps: BlockedTensor) -> FinishedGradient:
    """Applies the mask and computes the sums in a pass of its own."""
    shape = activation.head.shape
    if activation.head.kind != "relu" and not activation.normed:
        return FinishedGradient(shape, activation, maps, _NO_SUMS)
    out = maps.new_like()
    return FinishedGradient(shape, activation, out, _calls.apply_epilogue_to_map(out, maps, activation.epilogue(None)))


def add_grad(value: Value, gradient: LazyGradient, *, is_first: bool) -> Tensor | None:
    """Adds a part of a value's gradient; returns what autograd gets, None for a part that waits.

    Args:
        value: The value.
        gradient: The part of its gradient.
        is_first: Whether it is from the first operation that read the value, which adds the parts that wait.
    """
    if value.kind == "input" or not is_unobserved(value):
        return from_blocked(store_gradient(gradient)).view(value.shape)
    if value.uses > 1 and not is_first and value.first_reader == "convolution":
        value.waiting_grads.setdefault(get_backward_pass(), []).append(gradient)
        return None
    return DeferredTensor.of(PendingGradient(value.shape, gradient))


def is_unobserved(value: Value) -> bool:
    """Whether no other code can read a value's gradient in this backward pass."""
    return not value.is_observed and not torch.is_anomaly_enabled()


def is_finished_by_first(value: Value) -> bool:
    """Whether the convolution or pooling that read a value first applies the epilogue to its gradient."""
    return value.kind in ELEMENTWISE and is_unobserved(value)


def pop_waiting_grad(value: Value) -> BlockedTensor | None:
    """Removes and adds up the gradient parts that wait for a value in this backward pass; None without any."""
    if not value.waiting_grads:
        return None
    waiting = value.waiting_grads.pop(get_backward_pass(), [])
    maps = [store_gradient(part) for part in waiting]
    while len(maps) > 1:
        maps.append(add_gradients(maps.pop(0), maps.pop(0)))
    return maps[0] if maps else None
