"""Grow the weights with the largest momentum."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from torch import Tensor

from rarefy.topology._grows._registry import GROWS
from rarefy.topology._select import compute_magnitude, mark_highest
from rarefy.topology._update import Layer


@GROWS.register("momentum")
@dataclasses.dataclass(frozen=True)
class Momentum:
    """The weights with the largest ``|momentum|``: their gradients agreed over many steps.

    References:
        Dettmers and Zettlemoyer, 2019, arXiv:1907.04840, section 3.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"momentum"})
    moves_groups: ClassVar[bool] = True

    def __call__(self, layer: Layer, candidates: Tensor, count: int, random_key: int) -> Tensor:
        """Marks exactly ``count`` candidates; equal momenta go to the lower flat index."""
        return mark_highest(compute_magnitude(layer.require("momentum")), candidates, count)
