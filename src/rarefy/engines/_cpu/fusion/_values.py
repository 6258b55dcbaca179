"""Values that are in blocks: what a tensor between two layers stands for."""

from __future__ import annotations

import torch
from torch import Tensor

from rarefy.engines._cpu.blocked import _calls
from rarefy.engines._cpu.blocked._calls import LazyActivation, LazyGradient, Sums
from rarefy.engines._cpu.blocked._layout import from_blocked, to_blocked
from rarefy.engines._cpu.blocked._memory import Array, BlockedTensor, constant

ELEMENTWISE = ("norm", "relu", "add")


class Value:
    """Numbers in blocks that never change; batch norm, sums and ReLU may be left to whoever reads them.

    Args:
        shape: Of the tensor, [N, C, H, W] or [N, F].
        kind: What made it: "input", "convolution", "norm", "relu", "add" or "pool".
        parents: The values it was made from.
        lazy: The numbers as their reader sees them; None for a sum that nobody has read yet.
        addends: What such a sum adds up.
        relu: Whether a ReLU follows the sum.
    """

    __slots__ = (
        "addends", "contributions", "first_reader", "kind", "lazy", "moments", "numbers", "parents", "plain", "relu",
        "shape", "uses", "watched",
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
        relu: bool = False,
    ) -> None:
        self.shape, self.kind, self.parents, self.lazy = shape, kind, parents, lazy
        self.addends, self.relu = addends, relu
        self.moments: Sums | None = None  # batch norm's, where the convolution took them
        self.numbers: Array | None = None  # batch norm's mean, 1 / deviation, a and c a channel
        self.plain: Tensor | None = None  # the same numbers as an ordinary tensor; from then on it is what counts
        self.uses = 0  # operations that read it
        self.first_reader = ""  # what kind of operation was the first to read it
        self.watched = False  # whether somebody may look at its gradient
        self.contributions: dict[int, list[LazyGradient]] = {}  # a backward pass to parts of the gradient

    def read(self, kind: str) -> LazyActivation:
        """The numbers for an operation of some kind, which is counted."""
        self.uses += 1
        self.first_reader = self.first_reader or kind
        return self.activation()

    def activation(self) -> LazyActivation:
        """The numbers as their reader sees them."""
        if self.lazy is None:
            self.lazy, self.addends = LazyActivation.plain(_add_up(self.addends, relu=self.relu)), ()
        return self.lazy

    def stored(self) -> BlockedTensor:
        """The numbers as they are."""
        lazy = self.activation()
        if not lazy.is_plain:
            lazy = self.lazy = LazyActivation.plain(_add_up((lazy,), relu=lazy.relu))
        return lazy.maps

    def tensor(self) -> Tensor:
        """The same numbers as an ordinary tensor, always the same one."""
        if self.plain is None:
            self.plain = from_blocked(self.stored()).view(self.shape)
        return self.plain

    @property
    def is_private(self) -> bool:
        """Whether one operation alone has read it, and nobody else can see its gradient."""
        return self.uses == 1 and not self.watched and self.plain is None


def enter(tensor: Tensor) -> Value:
    """Brings an ordinary tensor [N, C, H, W] or [N, F] into blocks."""
    return Value(tensor.shape, "input", (), LazyActivation.plain(to_blocked(tensor)))


def add_gradients(first: BlockedTensor, second: BlockedTensor) -> BlockedTensor:
    """The sum of two gradients."""
    one = constant(first.channels, 1)
    out = first.like()
    _calls.add(out, first, second, one, one, constant(first.channels, 0))
    return out


def store_gradient(gradient: LazyGradient) -> BlockedTensor:
    """A gradient's numbers as they are."""
    if gradient.is_plain:
        return gradient.g
    out = gradient.g.like()
    _calls.add(out, gradient.g, gradient.t, gradient.a, gradient.b, gradient.c)
    if out.lanes < 16:  # images that only fill up a block take no part in batch norm's sums
        out.data.reshape(out.blocks, -1, 16)[-1, :, out.lanes :] = 0
    return out


def _add_up(addends: tuple[LazyActivation, ...], *, relu: bool) -> BlockedTensor:
    first = addends[0]
    out = first.maps.like()
    if len(addends) == 1:
        _calls.add(out, first.maps, None, first.a, first.a, first.c, relu=relu)
    else:
        second = addends[1]
        _calls.add(out, first.maps, second.maps, first.a, second.a, first.c + second.c, relu=relu)
    return out
