"""Redistribute by the number of kept weights."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from rarefy.topology._redistributions._proportional import ProportionalRedistribution
from rarefy.topology._redistributions._registry import REDISTRIBUTIONS
from rarefy.topology._update import Layer


@REDISTRIBUTIONS.register("nonzeros")
@dataclasses.dataclass(frozen=True)
class ByNonzeros(ProportionalRedistribution):
    """In proportion to the number of a layer's kept weights."""

    needs: ClassVar[frozenset[str]] = frozenset()

    def measure(self, layer: Layer) -> float:
        """Counts the kept weights."""
        return float(layer.kept)
