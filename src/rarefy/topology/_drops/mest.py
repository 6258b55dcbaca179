"""MEST's drop rule: small weights with small gradients."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from torch import Tensor

from rarefy.errors import InvalidInput
from rarefy.topology._drops._registry import DROPS
from rarefy.topology._select import compute_magnitude, mark_lowest
from rarefy.topology._update import Layer


@DROPS.register("mest")
@dataclasses.dataclass(frozen=True)
class WeightAndGradient:
    """The weights with the smallest ``|w| + gradient_weight * |gradient|``: small weights that will stay small.

    Args:
        gradient_weight: The paper's lambda, at least 0.

    References:
        Yuan et al., 2021, arXiv:2110.14032, section 3.
    """

    gradient_weight: float = 0.01
    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})
    moves_groups: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.gradient_weight >= 0:
            raise InvalidInput(
                f"gradient_weight has to be 0 or more, got {self.gradient_weight}.",
                name="gradient_weight",
                value=self.gradient_weight,
            )

    def __call__(self, layer: Layer, count: int) -> Tensor:
        """Marks exactly ``count`` kept weights."""
        score = compute_magnitude(layer.weight) + self.gradient_weight * compute_magnitude(layer.require("gradient"))
        return mark_lowest(score, layer.mask, count)
