"""A topology that never moves masks."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from rarefy.topology._update import TOPOLOGIES, Layer, Scope, UpdateStep


@TOPOLOGIES.register("static")
@dataclasses.dataclass(frozen=True)
class Static:
    """The masks never move: random pruning as the paper trains it.

    Example:
        >>> Static().is_due(100, 1000)
        False

    References:
        Liu et al., 2022, arXiv:2202.02643.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    moves_groups: ClassVar[bool] = True
    scope: ClassVar[Scope] = "layer"

    def is_due(self, step: int, steps: int | None) -> bool:
        """Returns False: masks never move."""
        return False

    def initial_density(self, density: float) -> float:
        """The density itself."""
        return density

    def __call__(self, layers: Sequence[Layer], update_step: UpdateStep) -> dict[str, Tensor]:
        """Returns the masks unchanged."""
        return {layer.name: layer.mask for layer in layers}
