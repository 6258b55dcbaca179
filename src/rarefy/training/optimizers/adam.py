"""Adam, with weight decay as part of the gradient."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from rarefy.eager_optimizers import make_eager
from rarefy.errors import InvalidInput
from rarefy.training.optimizers._registry import OPTIMIZERS, check_fraction


@OPTIMIZERS.register("adam")
@dataclasses.dataclass(frozen=True)
class Adam:
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

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    kind: ClassVar[str] = "adam"
    rule: ClassVar[type[torch.optim.Adam]] = torch.optim.Adam

    def __post_init__(self) -> None:
        """Checks the options."""
        check_fraction(beta1=self.beta1, beta2=self.beta2)
        if self.eps < 0:
            raise InvalidInput(f"eps has to be 0 or more; got {self.eps}.", name="eps", value=self.eps)

    def __call__(self, groups: Sequence[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
        """Builds the optimizer."""
        rule = make_eager(self.rule)
        return rule(groups, lr=lr, betas=(self.beta1, self.beta2), eps=self.eps)
