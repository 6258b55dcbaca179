"""Adam, weight decay as part of the gradient."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch

from rarefy.training.optimizers._adam import TwoMoments
from rarefy.training.optimizers._registry import OPTIMIZERS


@OPTIMIZERS.register("adam")
@dataclasses.dataclass(frozen=True)
class Adam(TwoMoments):
    """Adam with weight decay as part of the gradient.

    Args:
        beta1: Decay of the mean of gradients.
        beta2: Decay of the mean of squared gradients.
        eps: Added to the denominator.

    Example:
        >>> Adam()([{"params": [torch.nn.Parameter(torch.ones(1))]}], lr=0.1).defaults["betas"]
        (0.9, 0.999)

    References:
        Kingma and Ba, 2015, arXiv:1412.6980.
    """

    rule: ClassVar[type[torch.optim.Adam]] = torch.optim.Adam
