"""AdamW, decoupled weight decay."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch

from rarefy.training.optimizers._adam import TwoMoments
from rarefy.training.optimizers._registry import OPTIMIZERS


@OPTIMIZERS.register("adamw")
@dataclasses.dataclass(frozen=True)
class AdamW(TwoMoments):
    """AdamW with decoupled weight decay.

    Args:
        beta1: Decay of the mean of gradients.
        beta2: Decay of the mean of squared gradients.
        eps: Added to the denominator.

    Example:
        >>> AdamW()([{"params": [torch.nn.Parameter(torch.ones(1))]}], lr=0.1).defaults["betas"]
        (0.9, 0.999)

    References:
        Loshchilov and Hutter, 2019, arXiv:1711.05101.
    """

    rule: ClassVar[type[torch.optim.Adam]] = torch.optim.AdamW
