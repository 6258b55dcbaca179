"""Redistribute by the mean momentum of kept weights."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from rarefy.topology._redistributions._proportional import ProportionalRedistribution, average_kept
from rarefy.topology._redistributions._registry import REDISTRIBUTIONS
from rarefy.topology._update import Layer


@REDISTRIBUTIONS.register("momentum")
@dataclasses.dataclass(frozen=True)
class ByMomentum(ProportionalRedistribution):
    """In proportion to the mean ``|momentum|`` of a layer's kept weights.

    References:
        Dettmers and Zettlemoyer, 2019, arXiv:1907.04840, section 3.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"momentum"})

    def measure(self, layer: Layer) -> float:
        """Averages the kept weights' momentum."""
        return average_kept(layer, "momentum")
