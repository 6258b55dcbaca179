"""Grow weights at random."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from torch import Tensor

from rarefy.masks import mark_random
from rarefy.topology._grows._registry import GROWS
from rarefy.topology._update import Layer


@GROWS.register("random")
@dataclasses.dataclass(frozen=True)
class Random:
    """Any weights, each with the same probability: those with the smallest hash, the same on every machine."""

    needs: ClassVar[frozenset[str]] = frozenset()
    moves_groups: ClassVar[bool] = True

    def __call__(self, layer: Layer, candidates: Tensor, count: int, random_key: int) -> Tensor:
        """Marks exactly ``count`` candidates."""
        return mark_random(random_key, candidates, count)
