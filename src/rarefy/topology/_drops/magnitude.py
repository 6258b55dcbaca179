"""Drop the weights nearest to 0."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from torch import Tensor

from rarefy.topology._drops._registry import DROPS
from rarefy.topology._select import compute_magnitude, mark_lowest
from rarefy.topology._update import Layer


@DROPS.register("magnitude")
@dataclasses.dataclass(frozen=True)
class Magnitude:
    """The weights nearest to 0."""

    needs: ClassVar[frozenset[str]] = frozenset()
    moves_groups: ClassVar[bool] = True

    def __call__(self, layer: Layer, count: int) -> Tensor:
        """Marks exactly ``count`` kept weights."""
        return mark_lowest(compute_magnitude(layer.weight), layer.mask, count)
