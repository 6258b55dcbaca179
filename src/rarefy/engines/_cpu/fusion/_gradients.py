"""Gradients on their way back through values in blocks.

Where a convolution is the first operation to read an activation, its input gradient is the last part of the
activation's gradient: its kernel adds the other parts, applies the ReLU's mask and takes batch norm's sums while the
numbers are in the cache. All of it is worked out in any other order, too, only in more passes over memory.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rarefy.engines._cpu.blocked import _calls
from rarefy.engines._cpu.blocked._calls import BackwardEpilogue, LazyGradient, Sums
from rarefy.engines._cpu.blocked._layout import from_blocked, to_blocked
from rarefy.engines._cpu.blocked._memory import EMPTY, BlockedTensor
from rarefy.engines._cpu.fusion._deferred import DeferredTensor
from rarefy.engines._cpu.fusion._values import ELEMENTWISE, Value, add_gradients, store_gradient

_NO_SUMS = np.empty((0, 0, 3))


class Activation(NamedTuple):
    """Batch norms, their sum and the ReLU after it, which nobody sees between them.

    Args:
        head: The last value of it.
        inner: The sum or batch norm before the ReLU, if it belongs to it.
        normed: The batch norms in it, at most two.
    """

    head: Value
    inner: Value | None
    normed: tuple[Value, ...]

    @staticmethod
    def of(head: Value) -> Activation:
        """The activation that ends in a value."""
        inner: Value | None = head
        if head.kind == "relu":
            before = head.parents[0]
            inner = before if before.kind in ("norm", "add") and before.is_private else None
        if inner is None:
            return Activation(head, None, ())
        if inner.kind == "norm":
            return Activation(head, inner, (inner,))
        return Activation(head, inner, tuple(one for one in inner.parents if one.kind == "norm" and one.is_private))

    def epilogue(self, add: BlockedTensor | None) -> BackwardEpilogue:
        """What must follow the gradient of the head: the mask of the ReLU, batch norm's sums."""
        seen = self.head.activation()
        maps = [one.parents[0].stored().data for one in self.normed] + [seen.maps.data] * 2
        means = [one.numbers[0] for one in self.normed if one.numbers is not None] + [EMPTY, EMPTY]
        return BackwardEpilogue(
            True, add is not None, self.head.kind == "relu", len(self.normed), add.data if add else EMPTY,
            seen.maps.data, seen.a, seen.c, maps[0], means[0], maps[1], means[1], _calls.NOTHING.sums,
        )  # fmt: skip


@dataclasses.dataclass(eq=False)
class Gradient:
    """A gradient that nobody has stored yet."""

    is_gradient: ClassVar[bool] = True
    shape: torch.Size
    lazy: LazyGradient

    def tensor(self) -> Tensor:
        """It as an ordinary tensor."""
        return from_blocked(store_gradient(self.lazy)).view(self.shape)

    def add(self, other: Tensor) -> Tensor:
        """The sum with another one."""
        if isinstance(other, DeferredTensor) and isinstance(other.value, Finished):
            return other.value.add(DeferredTensor.of(self))
        total = add_gradients(store_gradient(self.lazy), store_gradient(lazily(other)))
        return DeferredTensor.of(Gradient(self.shape, LazyGradient.plain(total)))


@dataclasses.dataclass(eq=False)
class Finished:
    """The gradient of what an activation's batch norms give, its ReLU's mask applied, and batch norm's sums."""

    is_gradient: ClassVar[bool] = True
    shape: torch.Size
    activation: Activation
    maps: BlockedTensor
    sums: Sums

    def tensor(self) -> Tensor:
        """Nobody outside of the activation may ask."""
        raise RuntimeError(_UNSEEN)

    def add(self, other: Tensor) -> Tensor:
        """The sum with what came too late to be added by the kernel."""
        more = finish(self.activation, store_gradient(lazily(other)))
        total = add_gradients(self.maps, more.maps)
        sums = np.concatenate([self.sums, more.sums]) if self.sums.size else self.sums
        return DeferredTensor.of(Finished(self.shape, self.activation, total, sums))


_UNSEEN = (
    "A hook on a node of autograd's graph sees a gradient that the engine 'cpu' has fused with others. Put the hook on "
    "the tensor (tensor.register_hook) before the backward pass, or use the engine 'masked'."
)


def lazily(gradient: Tensor) -> LazyGradient:
    """A gradient in blocks, whatever it is."""
    if isinstance(gradient, DeferredTensor) and isinstance(gradient.value, Gradient):
        return gradient.value.lazy
    tensor = gradient.value.tensor() if isinstance(gradient, DeferredTensor) else gradient
    return LazyGradient.plain(to_blocked(tensor))


def take(value: Value, gradient: Tensor) -> LazyGradient:
    """A value's whole gradient, for the node that made it."""
    lazy, waiting = lazily(gradient), waiting_gradient(value)
    return lazy if waiting is None else LazyGradient.plain(add_gradients(store_gradient(lazy), waiting))


def take_finished(value: Value, gradient: Tensor) -> Finished:
    """The same for a value of an activation: with the mask applied and the sums taken."""
    if isinstance(gradient, DeferredTensor) and isinstance(gradient.value, Finished):
        waiting = waiting_gradient(value)
        if waiting is None:
            return gradient.value
        late = DeferredTensor.of(Gradient(value.shape, LazyGradient.plain(waiting)))
        return gradient.value.add(late).value  # type: ignore[attr-defined, no-any-return]
    return finish(Activation.of(value), store_gradient(take(value, gradient)))


def finish(activation: Activation, maps: BlockedTensor) -> Finished:
    """Applies the mask and takes the sums in a pass of its own."""
    shape = activation.head.shape
    if activation.head.kind != "relu" and not activation.normed:
        return Finished(shape, activation, maps, _NO_SUMS)
    out = maps.like()
    return Finished(shape, activation, out, _calls.finish_all(out, maps, activation.epilogue(None)))


def give(value: Value, gradient: LazyGradient, *, is_first: bool) -> Tensor | None:
    """Gives a value a part of its gradient; what it returns is what autograd gets, None for a part that waits.

    Args:
        value: Whose gradient it is.
        gradient: The part.
        is_first: Whether it comes from the first operation that read the value, which adds up what waits.
    """
    if value.kind == "input" or not is_hidden(value):
        return from_blocked(store_gradient(gradient)).view(value.shape)
    if value.uses > 1 and not is_first and value.first_reader == "convolution":
        value.contributions.setdefault(_backward_pass(), []).append(gradient)
        return None
    return DeferredTensor.of(Gradient(value.shape, gradient))


def is_hidden(value: Value) -> bool:
    """Whether nobody looks at a value's gradient in this backward pass."""
    return not value.watched and not torch.is_anomaly_enabled()


def is_finished_by_reader(value: Value) -> bool:
    """Whether the convolution that read a value first finishes its gradient."""
    return value.kind in ELEMENTWISE and is_hidden(value)


def waiting_gradient(value: Value) -> BlockedTensor | None:
    """The sum of what waits for a value in this backward pass, taken; None where nothing does."""
    if not value.contributions:
        return None
    waiting = value.contributions.pop(_backward_pass(), [])
    maps = [store_gradient(part) for part in waiting]
    while len(maps) > 1:
        maps.append(add_gradients(maps.pop(0), maps.pop(0)))
    return maps[0] if maps else None


def _backward_pass() -> int:
    return int(torch._C._current_graph_task_id())
