"""What an optimizer rule is, and which parameters decay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import nn

from rarefy.registry import Registry


class OptimizerRule(Protocol):
    """Makes a torch optimizer over parameter groups."""

    def __call__(self, groups: Sequence[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
        """The optimizer; each group carries its own weight decay."""


OPTIMIZERS: Registry[OptimizerRule] = Registry("optimizer", "optimizers")


def parameter_groups(model: nn.Module, weight_decay: float, *, norms: bool) -> list[dict[str, Any]]:
    """Parameters with their weight decay.

    Args:
        model: The model.
        weight_decay: Weight decay of the weights.
        norms: Whether norms and biases (parameters of at most one dimension) decay too, as in the paper's CIFAR runs.

    Example:
        >>> [group["weight_decay"] for group in parameter_groups(nn.Linear(2, 2), 0.1, norms=False)]
        [0.1, 0.0]
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if norms:
        return [{"params": trained, "weight_decay": weight_decay}]
    weights = [parameter for parameter in trained if parameter.ndim > 1]
    others = [parameter for parameter in trained if parameter.ndim <= 1]
    return [{"params": weights, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
