"""No redistribution: a layer grows as many weights as it dropped."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import ClassVar

from rarefy.topology._redistributions._registry import REDISTRIBUTIONS
from rarefy.topology._update import Layer, Scope


@REDISTRIBUTIONS.register("none")
@dataclasses.dataclass(frozen=True)
class NoRedistribution:
    """Every layer grows as many weights as it dropped."""

    needs: ClassVar[frozenset[str]] = frozenset()
    scope: ClassVar[Scope] = "layer"

    def fractions(self, layers: Sequence[Layer], fraction: float) -> dict[str, float]:
        """Returns the same fraction for every layer."""
        return {layer.name: fraction for layer in layers}

    def __call__(self, layers: Sequence[Layer], dropped: Mapping[str, int]) -> dict[str, int]:
        """Returns how many weights each layer grows."""
        return dict(dropped)
