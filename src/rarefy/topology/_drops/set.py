"""SET's drop rule: the same fraction of positive and of negative weights."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from torch import Tensor

from rarefy.topology._drops._registry import DROPS
from rarefy.topology._select import compute_magnitude, mark_lowest
from rarefy.topology._update import Layer


@DROPS.register("set")
@dataclasses.dataclass(frozen=True)
class SmallestOfEachSign:
    """The smallest positive and the largest negative weights, the same fraction of either kind.

    ``round(count * positives / kept)`` are positive (half up), the others negative. A weight of exactly 0 is positive.

    References:
        Mocanu et al., 2018, arXiv:1707.04780, algorithm 1.
    """

    needs: ClassVar[frozenset[str]] = frozenset()

    def __call__(self, layer: Layer, count: int) -> Tensor:
        """Marks exactly ``count`` kept weights."""
        positive = layer.mask & (layer.weight >= 0)
        negative = layer.mask & ~positive
        kept = max(1, layer.kept)
        positive_count = (2 * count * int(positive.count_nonzero()) + kept) // (2 * kept)
        size = compute_magnitude(layer.weight)
        return mark_lowest(size, positive, positive_count) | mark_lowest(size, negative, count - positive_count)
