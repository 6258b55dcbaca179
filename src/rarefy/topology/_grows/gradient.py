"""Grow the weights with the largest gradient."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from torch import Tensor

from rarefy.topology._grows._registry import GROWS
from rarefy.topology._select import compute_magnitude, mark_highest
from rarefy.topology._update import Layer


@GROWS.register("gradient")
@dataclasses.dataclass(frozen=True)
class Gradient:
    """The weights with the largest ``|gradient|``: they would change the loss most.

    References:
        Evci et al., 2020, arXiv:1911.11134, section 3.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})
    moves_groups: ClassVar[bool] = True

    def __call__(self, layer: Layer, candidates: Tensor, count: int, random_key: int) -> Tensor:
        """Marks exactly ``count`` candidates; equal gradients go to the lower flat index."""
        return mark_highest(compute_magnitude(layer.require("gradient")), candidates, count)
