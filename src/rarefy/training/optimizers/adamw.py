"""AdamW, decoupled weight decay."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch

from rarefy.training.optimizers._door import OPTIMIZERS, check_moments


@OPTIMIZERS.register("adamw")
@dataclasses.dataclass(frozen=True)
class AdamW:
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

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def __post_init__(self) -> None:
        """Checks the options."""
        check_moments(beta1=self.beta1, beta2=self.beta2, eps=self.eps)

    def __call__(self, groups: Sequence[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
        """The optimizer."""
        return torch.optim.AdamW(groups, lr=lr, betas=(self.beta1, self.beta2), eps=self.eps)
