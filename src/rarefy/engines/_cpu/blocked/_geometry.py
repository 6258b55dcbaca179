"""The geometry of a layer: kept weights, stride, padding, dilation, groups."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

from rarefy.engines._cpu.blocked._indices import KeptIndices
from rarefy.engines._cpu.blocked._memory import BlockedTensor
from rarefy.engines._cpu.blocked._tiling import Shape

Pair = tuple[int, int]


class Geometry(NamedTuple):
    """Kept weights of a layer and how they move over its input.

    Args:
        pattern: Indices of the kept weights.
        stride: Rows, columns.
        padding: Zeros before (rows, columns) and after.
        dilation: Rows, columns.
        groups: Groups of channels.
        layer_padding: The layer's own option: rows and columns, "same" or "valid"; None for a linear layer.
    """

    pattern: KeptIndices
    stride: Pair = (1, 1)
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0))
    dilation: Pair = (1, 1)
    groups: int = 1
    layer_padding: Pair | str | None = None

    @staticmethod
    def of(
        pattern: KeptIndices, stride: Sequence[int], padding: Sequence[int] | str, dilation: Sequence[int], groups: int
    ) -> Geometry:
        """Makes the geometry of a convolution with these options."""
        layer_padding = padding if isinstance(padding, str) else to_pair(padding)
        steps = to_pair(dilation)
        zeros = _count_zeros(tuple(pattern.shape[2:]), layer_padding, steps)
        return Geometry(pattern, to_pair(stride), zeros, steps, groups, layer_padding)

    def shape(self, maps: BlockedTensor) -> Shape:
        """Returns the sizes of the convolution of these maps."""
        weight = (*self.pattern.shape, 1, 1)[:4]
        return Shape(
            maps.channels, (maps.height, maps.width), weight, self.stride, self.padding, self.dilation, self.groups
        )

    def fits(self, shape: Sequence[int]) -> bool:
        """Whether inputs of a shape have the layer's channels and are not smaller than its kernel."""
        if self.layer_padding is None:
            return len(shape) == 2 and shape[1] == self.pattern.shape[1]
        if len(shape) != 4 or shape[1] != self.pattern.shape[1] * self.groups:
            return False
        weight = (*self.pattern.shape, 1, 1)[:4]
        sizes = Shape(shape[1], (shape[2], shape[3]), weight, self.stride, self.padding, self.dilation, self.groups)
        return min(sizes.out) > 0

    def compute_dense_from_values(self, inputs: Tensor, values: Tensor, bias: Tensor | None) -> Tensor:
        """Computes the layer by torch's own function from kept weights."""
        return self.compute_dense(self.pattern.scatter(values), inputs, bias)

    def compute_dense(self, weight: Tensor, inputs: Tensor, bias: Tensor | None) -> Tensor:
        """Computes the layer by torch's own function from a whole weight."""
        if self.layer_padding is None:
            return F.linear(inputs, weight, bias)
        return F.conv2d(inputs, weight, bias, self.stride, self.layer_padding, self.dilation, self.groups)


def to_pair(number: Sequence[int] | int) -> Pair:
    return (number, number) if isinstance(number, int) else (int(number[0]), int(number[-1]))


@functools.lru_cache(maxsize=256)
def _count_zeros(kernel: tuple[int, ...], padding: Pair | str, dilation: Pair) -> tuple[Pair, Pair]:
    """Returns the zeros before and after, (rows, columns) each."""
    if padding != "same":
        both = (0, 0) if isinstance(padding, str) else padding
        return both, both
    (high, wide) = ((size - 1) * step for size, step in zip(kernel, dilation, strict=True))
    return (high // 2, wide // 2), (high - high // 2, wide - wide // 2)
