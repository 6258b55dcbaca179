"""Drop the weights that change the loss least, to first order."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from torch import Tensor

from rarefy.topology._drops._registry import DROPS
from rarefy.topology._select import compute_magnitude, mark_lowest
from rarefy.topology._update import Layer


@DROPS.register("taylor")
@dataclasses.dataclass(frozen=True)
class Taylor:
    """The weights whose loss changes least without them, to first order: ``|w * gradient|``.

    References:
        Molchanov et al., 2019, arXiv:1906.10771, section 3.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})

    def __call__(self, layer: Layer, count: int) -> Tensor:
        """Marks exactly ``count`` kept weights."""
        return mark_lowest(
            compute_magnitude(layer.weight) * compute_magnitude(layer.require("gradient")), layer.mask, count
        )
