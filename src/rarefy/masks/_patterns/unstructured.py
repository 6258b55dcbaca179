"""No structure: every weight is drawn by itself."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

from torch import Tensor

from rarefy.masks._hash import derive_mask_key
from rarefy.masks._masks import Shape
from rarefy.masks._patterns._registry import PATTERNS
from rarefy.masks._select import mark_smallest


@PATTERNS.register("unstructured")
@dataclasses.dataclass(frozen=True)
class Unstructured:
    """A weight is kept when its score is among the smallest of its layer.

    References:
        Liu et al., 2022, arXiv:2202.02643.
    """

    spelling: ClassVar[str] = "unstructured"
    form: ClassVar[str] = "unstructured"
    examples: ClassVar[tuple[str, ...]] = ("unstructured",)
    is_redrawn: ClassVar[bool] = True
    requirement: ClassVar[str] = "nothing"

    @property
    def name(self) -> str:
        """The canonical name."""
        return "unstructured"

    def fits(self, shape: Shape, kept: int) -> bool:
        """Returns True: every layer can be drawn."""
        return True

    def draw(self, name: str, shape: Shape, kept: int, seed: int) -> Tensor:
        """Draws the mask of a layer."""
        return mark_smallest(derive_mask_key(seed, name), math.prod(shape), kept).view(tuple(shape))
