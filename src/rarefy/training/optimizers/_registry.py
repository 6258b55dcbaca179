"""Optimizer protocol and registry, parameter groups with weight decay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import nn

from rarefy.errors import InvalidInput
from rarefy.registry import Registry
from rarefy.sparsity import ValueStorageLayer


class OptimizerRule(Protocol):
    """Builds a torch optimizer over parameter groups."""

    def __call__(self, groups: Sequence[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
        """Returns the optimizer; each group has its own weight decay."""


_MATRIX_NORMS = (nn.LayerNorm, nn.RMSNorm)  # the norms whose weights may have several dimensions

OPTIMIZERS: Registry[OptimizerRule] = Registry("optimizer", "optimizers")


def build_parameter_groups(model: nn.Module, weight_decay: float, *, norms: bool) -> list[dict[str, Any]]:
    """Groups a model's parameters by weight decay.

    Args:
        model: The model.
        weight_decay: Weight decay of the weights.
        norms: Whether norm layers, biases and other vectors decay as well, as in the paper's CIFAR runs.

    Example:
        >>> [group["weight_decay"] for group in build_parameter_groups(nn.Linear(2, 2), 0.1, norms=False)]
        [0.1, 0.0]
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if norms:
        return [{"params": trained, "weight_decay": weight_decay}]
    of_norms = {id(p) for module in model.modules() if isinstance(module, _MATRIX_NORMS) for p in module.parameters()}
    storage = [module for module in model.modules() if isinstance(module, ValueStorageLayer)]
    value_vectors = {id(module.values) for module in storage}  # one vector per layer
    is_weight = {id(p): id(p) in value_vectors or (p.ndim > 1 and id(p) not in of_norms) for p in trained}
    weights = [p for p in trained if is_weight[id(p)]]
    others = [p for p in trained if not is_weight[id(p)]]
    return [{"params": weights, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def check_fraction(**options: float) -> None:
    """Raises ValueError if an option is outside [0, 1)."""
    for option, value in options.items():
        if not 0 <= value < 1:
            raise InvalidInput(f"{option} lies in [0, 1); got {value}.", name=option, value=value)
