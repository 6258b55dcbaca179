"""The protocol of initialisers and their registry."""

from __future__ import annotations

from typing import ClassVar, Protocol

import torch
from torch import Tensor

from rarefy.registry import Registry


class Initialiser(Protocol):
    """A rule for the initial weights of a sparse layer: a frozen dataclass registered under its file's name.

    Attributes:
        chooses_masks: Whether it chooses which weights are kept, too; otherwise it leaves masks as they were drawn.
    """

    chooses_masks: ClassVar[bool]

    def count_least(self, shape: tuple[int, ...]) -> int:
        """Counts the fewest weights that a layer of that shape has to keep."""
        ...

    def __call__(self, weight: Tensor, mask: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Makes the initial weight of a layer, and its mask.

        Args:
            weight: The weight as the model has it.
            mask: Bool, on the CPU: as it was drawn.
            generator: Source of random numbers, on the CPU.

        Returns:
            Values and mask of the same shape, with as many True as before.
        """
        ...


INITIALISERS: Registry[Initialiser] = Registry("initialiser", "initialisers")
