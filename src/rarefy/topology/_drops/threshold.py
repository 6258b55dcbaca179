"""Drop the weights below a level."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from torch import Tensor

from rarefy.topology._drops._registry import DROPS
from rarefy.topology._select import compute_magnitude, mark_lowest
from rarefy.topology._update import Layer


@DROPS.register("threshold")
@dataclasses.dataclass(frozen=True)
class Threshold:
    """The weights with ``|w| < level``, the smallest first, at most ``count``.

    Args:
        level: Magnitude from which on a weight is kept, whatever the count.
    """

    level: float = 0.001
    needs: ClassVar[frozenset[str]] = frozenset()

    def __call__(self, layer: Layer, count: int) -> Tensor:
        """Marks at most ``count`` kept weights."""
        size = compute_magnitude(layer.weight)
        below = layer.mask & (size < self.level)
        return mark_lowest(size, below, min(count, int(below.count_nonzero())))
