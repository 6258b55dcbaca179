"""What a kernel needs to know of a layer."""

from __future__ import annotations

import dataclasses

from torch import nn

from rarefy.engines._cpu.blocked._geometry import Shape
from rarefy.engines._cpu.blocked._memory import Maps
from rarefy.engines._cpu.blocked._pattern import Pattern


@dataclasses.dataclass
class Weights:
    """Where a convolution's numbers come from.

    Args:
        pattern: Which weights are kept.
        values: Parameter of kept weights, or the whole weight of a dense layer.
        bias: Parameter or None.
        stride: Rows, columns.
        padding: Zeros before (rows, columns) and after.
        dilation: Rows, columns.
        groups: Groups of channels.
    """

    pattern: Pattern
    values: nn.Parameter
    bias: nn.Parameter | None
    stride: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]
    dilation: tuple[int, int]
    groups: int

    def shape(self, maps: Maps) -> Shape:
        """The sizes on these maps."""
        size = (maps.height, maps.width)
        weight = (*self.pattern.shape, 1, 1)[:4]
        return Shape(maps.channels, size, weight, self.stride, self.padding, self.dilation, self.groups)
