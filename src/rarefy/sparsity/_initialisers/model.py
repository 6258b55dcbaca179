"""The initial weights that the model has."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from rarefy.sparsity._initialisers._registry import INITIALISERS


@INITIALISERS.register("model")
@dataclasses.dataclass(frozen=True)
class ModelWeights:
    """Leaves the weights as the model has them.

    References:
        Liu et al., 2022, arXiv:2202.02643.
    """

    chooses_masks: ClassVar[bool] = False

    def count_least(self, shape: tuple[int, ...]) -> int:
        """One."""
        return 1

    def __call__(self, weight: Tensor, mask: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Returns both unchanged."""
        return weight, mask
