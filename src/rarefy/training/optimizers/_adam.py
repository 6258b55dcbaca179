"""What Adam and AdamW share: their options."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from rarefy.training.optimizers._registry import check_moments


@dataclasses.dataclass(frozen=True)
class TwoMoments(abc.ABC):
    """An optimizer with a mean of gradients and one of their squares: subclasses say only which of torch's it is.

    Args:
        beta1: Decay of the mean of gradients.
        beta2: Decay of the mean of squared gradients.
        eps: Added to the denominator.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    rule: ClassVar[type[torch.optim.Adam]]

    def __post_init__(self) -> None:
        """Checks the options."""
        check_moments(beta1=self.beta1, beta2=self.beta2, eps=self.eps)

    def __call__(self, groups: Sequence[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
        """Builds the optimizer."""
        return self.rule(groups, lr=lr, betas=(self.beta1, self.beta2), eps=self.eps)
