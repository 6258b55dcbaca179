"""Whole kernels."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from rarefy.masks._masks import Shape
from rarefy.masks._patterns._groups import GroupPattern
from rarefy.masks._patterns._registry import PATTERNS


@PATTERNS.register("kernel")
@dataclasses.dataclass(frozen=True)
class Kernel(GroupPattern):
    """Groups of all positions of a kernel: one per pair of an output and an input channel.

    In a linear layer, and in a convolution of one position, each weight is a group.

    Example:
        >>> Kernel().block((64, 32, 3, 3)), Kernel().block((10, 64))
        ((1, 1, 3, 3), (1, 1))
    """

    spelling: ClassVar[str] = "kernel"
    form: ClassVar[str] = "kernel"
    examples: ClassVar[tuple[str, ...]] = ("kernel",)

    @property
    def name(self) -> str:
        """The canonical name."""
        return "kernel"

    def block(self, shape: Shape) -> Shape:
        """Extent of a group along each dimension."""
        return (*[1] * len(shape[:2]), *shape[2:])
