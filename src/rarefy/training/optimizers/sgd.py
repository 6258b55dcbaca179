"""Stochastic gradient descent, the paper's optimizer."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from rarefy.eager_optimizers import make_eager
from rarefy.training.optimizers._registry import OPTIMIZERS, check_fraction


@OPTIMIZERS.register("sgd")
@dataclasses.dataclass(frozen=True)
class Sgd:
    """SGD with Nesterov momentum.

    Args:
        momentum: Momentum in [0, 1).
        nesterov: Whether to use Nesterov momentum; ignored without momentum.

    Example:
        >>> Sgd()([{"params": [torch.nn.Parameter(torch.ones(1))]}], lr=0.1).defaults["momentum"]
        0.9

    References:
        Liu et al., 2022, arXiv:2202.02643, table of hyper-parameters.
    """

    momentum: float = 0.9
    nesterov: bool = True

    kind: ClassVar[str] = "sgd"

    def __post_init__(self) -> None:
        """Checks the options."""
        check_fraction(momentum=self.momentum)

    def __call__(self, groups: Sequence[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
        """Builds the optimizer."""
        rule = make_eager(torch.optim.SGD)
        return rule(groups, lr=lr, momentum=self.momentum, nesterov=self.nesterov and self.momentum > 0)
