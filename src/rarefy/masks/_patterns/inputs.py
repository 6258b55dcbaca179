"""Groups of input channels."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from rarefy.masks._patterns._groups import ChannelGroups
from rarefy.masks._patterns._registry import PATTERNS


@PATTERNS.register("inputs")
@dataclasses.dataclass(frozen=True)
class Inputs(ChannelGroups):
    """Groups of ``size`` consecutive input channels at the same output channel, row and column.

    If the channels do not divide by ``size``, the last groups are smaller. In a transposed convolution dimension 0
    holds the inputs and dimension 1 the outputs: there the words are exchanged.

    Args:
        size: Input channels in a group (dimension 1 of the weight), at least 2.

    Example:
        >>> Inputs(8).block((64, 32, 3, 3))
        (1, 8, 1, 1)
    """

    axis: ClassVar[int] = 1
    spelling: ClassVar[str] = r"in(?P<size>\d{1,9})"
    form: ClassVar[str] = "in<size>"
    examples: ClassVar[tuple[str, ...]] = ("in2", "in4", "in8")
