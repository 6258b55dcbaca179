"""Redistribute by the mean magnitude of kept weights."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from rarefy.topology._redistributions._proportional import ProportionalRedistribution, average_kept
from rarefy.topology._redistributions._registry import REDISTRIBUTIONS
from rarefy.topology._update import Layer


@REDISTRIBUTIONS.register("magnitude")
@dataclasses.dataclass(frozen=True)
class ByMagnitude(ProportionalRedistribution):
    """In proportion to the mean ``|w|`` of a layer's kept weights."""

    needs: ClassVar[frozenset[str]] = frozenset()

    def measure(self, layer: Layer) -> float:
        """Averages the kept weights' magnitude."""
        return average_kept(layer, "weight")
