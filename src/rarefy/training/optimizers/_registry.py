"""What an optimizer rule is, and which parameters decay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import nn

from rarefy.errors import InvalidInput
from rarefy.registry import Registry
from rarefy.sparsity import ValueStorageLayer


class OptimizerRule(Protocol):
    """Makes a torch optimizer over parameter groups."""

    def __call__(self, groups: Sequence[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
        """The optimizer; each group carries its own weight decay."""


_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)

OPTIMIZERS: Registry[OptimizerRule] = Registry("optimizer", "optimizers")


def parameter_groups(model: nn.Module, weight_decay: float, *, norms: bool) -> list[dict[str, Any]]:
    """Parameters with their weight decay.

    Args:
        model: The model.
        weight_decay: Weight decay of the weights.
        norms: Whether norm layers, biases and other vectors decay too, as in the paper's CIFAR runs.

    Example:
        >>> [group["weight_decay"] for group in parameter_groups(nn.Linear(2, 2), 0.1, norms=False)]
        [0.1, 0.0]
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if norms:
        return [{"params": trained, "weight_decay": weight_decay}]
    of_norms = {id(p) for module in model.modules() if isinstance(module, _NORMS) for p in module.parameters()}
    compact = {
        id(module.values) for module in model.modules() if isinstance(module, ValueStorageLayer)
    }  # a vector each
    is_weight = {id(p): id(p) in compact or (p.ndim > 1 and id(p) not in of_norms) for p in trained}
    weights = [p for p in trained if is_weight[id(p)]]
    others = [p for p in trained if not is_weight[id(p)]]
    return [{"params": weights, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def check_fraction(**options: float) -> None:
    """Raises ValueError for an option outside [0, 1)."""
    for option, value in options.items():
        if not 0 <= value < 1:
            raise InvalidInput(f"{option} lies in [0, 1); got {value}.", name=option, value=value)


def check_moments(*, beta1: float, beta2: float, eps: float) -> None:
    """Raises ValueError for options that Adam and its kin cannot have."""
    check_fraction(beta1=beta1, beta2=beta2)
    if eps < 0:
        raise InvalidInput(f"eps has to be 0 or more; got {eps}.", name="eps", value=eps)
