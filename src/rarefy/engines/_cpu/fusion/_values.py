"""Values in blocks between two layers."""

from __future__ import annotations

import torch
from torch import Tensor

from rarefy.engines._cpu.blocked import _calls
from rarefy.engines._cpu.blocked._layout import from_blocked, to_blocked
from rarefy.engines._cpu.blocked._memory import Array, BlockedTensor, get_constant
from rarefy.engines._cpu.blocked._operands import LazyActivation, LazyGradient, Sums
from rarefy.engines._cpu.kernels._tiles import NO_RELU, Rectifier

ELEMENTWISE = ("norm", "relu", "add")


class Value:
    """A value in blocks, which never changes. Batch norm, sums and ReLU may be left to the operations that read it.

    Args:
        shape: Shape of the tensor, [N, C, H, W] or [N, F].
        kind: The operation that computed it: "input", "convolution", "norm", "relu", "add" or "pool".
        parents: The values it was computed from.
        lazy: The activation that readers compute; None for a sum that no operation has read yet.
        addends: The two parts of such a sum.
        relu: The ReLU of a value of that kind.
    """

    __slots__ = (
        "addends", "first_reader", "is_channels_last", "is_observed", "is_viewed", "kind", "lazy", "moments",
        "norm_numbers", "parents", "plain", "relu", "shape", "uses", "waiting_grads",
    )  # fmt: skip

    is_gradient = False

    def __init__(
        self,
        shape: torch.Size,
        kind: str,
        parents: tuple[Value, ...] = (),
        lazy: LazyActivation | None = None,
        addends: tuple[LazyActivation, ...] = (),
        *,
        relu: Rectifier = NO_RELU,
    ) -> None:
        self.shape, self.kind, self.parents, self.lazy = shape, kind, parents, lazy
        self.addends, self.relu = addends, relu
        self.moments: Sums | None = None  # for batch norm, where the convolution computed them
        self.norm_numbers: Array | None = None  # of batch norm: mean, 1 / deviation, a and c per channel
        self.plain: Tensor | None = None  # the same values as an ordinary tensor, which may be written from then on
        self.uses = 0  # number of operations that read it
        self.first_reader = ""  # kind of the first operation that read it
        self.is_observed = False  # whether other code may read its gradient
        self.is_viewed = False  # whether another tensor shares it, so that no operation in blocks may replace it
        self.is_channels_last = False  # whether an ordinary tensor of it is in that memory layout
        self.waiting_grads: dict[int, list[LazyGradient]] = {}  # backward pass to parts of the gradient

    def read(self, kind: str) -> LazyActivation:
        """Returns the activation for an operation of some kind, and counts it."""
        self.uses += 1
        self.first_reader = self.first_reader or kind
        return self.activation()

    def activation(self) -> LazyActivation:
        """Returns the activation that readers compute."""
        if self.lazy is None:
            self.lazy, self.addends = LazyActivation.plain(_add_addends(self.addends, self.relu)), ()
        return self.lazy

    def store(self) -> BlockedTensor:
        """Stores the values and returns them."""
        lazy = self.activation()
        if not lazy.is_plain:
            lazy = self.lazy = LazyActivation.plain(_add_addends((lazy,), lazy.relu))
        return lazy.maps

    def tensor(self) -> Tensor:
        """Returns the values as an ordinary tensor, always the same one."""
        if self.plain is None:
            plain = from_blocked(self.store()).view(self.shape)
            self.plain = plain.contiguous(memory_format=torch.channels_last) if self.is_channels_last else plain
        return self.plain

    @property
    def strides(self) -> tuple[int, ...] | None:
        """Strides of the ordinary tensor; None where it is contiguous."""
        if not self.is_channels_last:
            return None
        _, channels, height, width = self.shape
        return channels * height * width, 1, width * channels, channels

    @property
    def is_private(self) -> bool:
        """Whether only one operation has read it, and no other code can read its gradient."""
        return self.uses == 1 and not self.is_observed and self.plain is None


def block_tensor(tensor: Tensor) -> Value:
    """Converts an ordinary tensor [N, C, H, W] or [N, F] to a value in blocks."""
    return Value(tensor.shape, "input", (), LazyActivation.plain(to_blocked(tensor)))


def add_gradients(first: BlockedTensor, second: BlockedTensor) -> BlockedTensor:
    """Adds two gradients."""
    one = get_constant(first.channels, 1)
    out = first.new_like()
    _calls.add(out, first, second, one, one, get_constant(first.channels, 0))
    return out


def store_gradient(gradient: LazyGradient) -> BlockedTensor:
    """Stores a lazy gradient and returns it."""
    if gradient.is_plain:
        return gradient.g
    out = gradient.g.new_like()
    _calls.add(out, gradient.g, gradient.t, gradient.a, gradient.b, gradient.c)
    if out.lanes < 16:  # padding images must not count in the sums for batch norm
        out.data.reshape(out.blocks, -1, 16)[-1, :, out.lanes :] = 0
    return out


def _add_addends(addends: tuple[LazyActivation, ...], relu: Rectifier) -> BlockedTensor:
    first = addends[0]
    out = first.maps.new_like()
    if len(addends) == 1:
        _calls.add(out, first.maps, None, first.a, first.a, first.c, relu)
    else:
        second = addends[1]
        _calls.add(out, first.maps, second.maps, first.a, second.a, first.c + second.c, relu)
    return out
