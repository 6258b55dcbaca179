"""Groups of output channels."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from rarefy.masks._patterns._groups import ChannelGroups
from rarefy.masks._patterns._registry import PATTERNS


@PATTERNS.register("outputs")
@dataclasses.dataclass(frozen=True)
class Outputs(ChannelGroups):
    """Groups of ``size`` consecutive output channels at the same input channel, row and column.

    If the channels do not divide by ``size``, the last groups are smaller. In a transposed convolution dimension 0
    holds the inputs and dimension 1 the outputs: there the words are exchanged.

    Args:
        size: Output channels in a group (dimension 0 of the weight), at least 2.

    Example:
        >>> Outputs(8).block((64, 32, 3, 3))
        (8, 1, 1, 1)
    """

    axis: ClassVar[int] = 0
    spelling: ClassVar[str] = r"out(?P<size>\d{1,9})"
    form: ClassVar[str] = "out<size>"
    examples: ClassVar[tuple[str, ...]] = ("out2", "out4", "out8", "out16")
