"""Normal initial weights whose variance follows the number of inputs."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor, nn

from rarefy.sparsity._initialisers._registry import INITIALISERS


@INITIALISERS.register("fan_in")
@dataclasses.dataclass(frozen=True)
class FanIn:
    """Draws weights from N(0, 2 / fan_in), pruned inputs included; the networks of the paper have these anyway.

    References:
        He et al., 2015, arXiv:1502.01852, section 2.2.
    """

    chooses_masks: ClassVar[bool] = False

    def count_least(self, shape: tuple[int, ...]) -> int:
        """One."""
        return 1

    def __call__(self, weight: Tensor, mask: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draws the weight; the mask stays."""
        values = torch.empty(weight.shape, dtype=torch.float32)
        return nn.init.kaiming_normal_(values, generator=generator), mask
