"""Grow weights at random, first those that were never kept."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from torch import Tensor

from rarefy.masks import mark_random
from rarefy.topology._grows._registry import GROWS
from rarefy.topology._update import Layer


@GROWS.register("random_unfired")
@dataclasses.dataclass(frozen=True)
class RandomUnfired:
    """Weights that were never kept before, at random; others only when there are no such weights left.

    References:
        Liu et al., 2021, arXiv:2102.02887 (the ``random_unfired`` growth of its code).
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    moves_groups: ClassVar[bool] = True

    def __call__(self, layer: Layer, candidates: Tensor, count: int, random_key: int) -> Tensor:
        """Marks exactly ``count`` candidates."""
        unfired = candidates & ~layer.explored
        first = min(count, int(unfired.count_nonzero()))
        return mark_random(random_key, unfired, first) | mark_random(random_key, candidates & ~unfired, count - first)
