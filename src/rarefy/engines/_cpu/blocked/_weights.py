"""What a kernel needs to know of a layer."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

from rarefy.engines._cpu.blocked._geometry import Shape
from rarefy.engines._cpu.blocked._memory import BlockedTensor
from rarefy.engines._cpu.blocked._pattern import Pattern

Pair = tuple[int, int]


class Geometry(NamedTuple):
    """How a layer's kept weights lie over its input.

    Args:
        pattern: Which weights are kept.
        stride: Rows, columns.
        padding: Zeros before (rows, columns) and after.
        dilation: Rows, columns.
        groups: Groups of channels.
        given: The padding as the layer has it: rows and columns, "same" or "valid"; None for a linear layer.
    """

    pattern: Pattern
    stride: Pair = (1, 1)
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0))
    dilation: Pair = (1, 1)
    groups: int = 1
    given: Pair | str | None = None

    @staticmethod
    def of(
        pattern: Pattern, stride: Sequence[int], padding: Sequence[int] | str, dilation: Sequence[int], groups: int
    ) -> Geometry:
        """That of a convolution with these options."""
        given = padding if isinstance(padding, str) else _pair(padding)
        steps = _pair(dilation)
        zeros = _zeros(tuple(pattern.shape[2:]), given, steps)
        return Geometry(pattern, _pair(stride), zeros, steps, groups, given)

    def shape(self, maps: BlockedTensor) -> Shape:
        """The sizes on these maps."""
        weight = (*self.pattern.shape, 1, 1)[:4]
        return Shape(
            maps.channels, (maps.height, maps.width), weight, self.stride, self.padding, self.dilation, self.groups
        )

    def fits(self, shape: Sequence[int]) -> bool:
        """Whether inputs of a shape have the layer's channels and are not smaller than its kernel."""
        if self.given is None:
            return len(shape) == 2 and shape[1] == self.pattern.shape[1]
        if len(shape) != 4 or shape[1] != self.pattern.shape[1] * self.groups:
            return False
        weight = (*self.pattern.shape, 1, 1)[:4]
        sizes = Shape(shape[1], (shape[2], shape[3]), weight, self.stride, self.padding, self.dilation, self.groups)
        return min(sizes.out) > 0

    def dense(self, inputs: Tensor, values: Tensor, bias: Tensor | None) -> Tensor:
        """What torch's own function gives for these kept weights."""
        return self.dense_by(self.pattern.scatter(values), inputs, bias)

    def dense_by(self, weight: Tensor, inputs: Tensor, bias: Tensor | None) -> Tensor:
        """What torch's own function gives for the whole weight."""
        if self.given is None:
            return F.linear(inputs, weight, bias)
        return F.conv2d(inputs, weight, bias, self.stride, self.given, self.dilation, self.groups)


def _pair(number: Sequence[int] | int) -> Pair:
    return (number, number) if isinstance(number, int) else (int(number[0]), int(number[-1]))


@functools.lru_cache(maxsize=256)
def _zeros(kernel: tuple[int, ...], padding: Pair | str, dilation: Pair) -> tuple[Pair, Pair]:
    """Zeros before and after, (rows, columns) each."""
    if padding != "same":
        both = (0, 0) if isinstance(padding, str) else padding
        return both, both
    (high, wide) = ((size - 1) * step for size, step in zip(kernel, dilation, strict=True))
    return (high // 2, wide // 2), (high - high // 2, wide - wide // 2)
