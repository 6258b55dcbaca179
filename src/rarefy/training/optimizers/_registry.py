"""Optimizer protocol and registry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch

from rarefy.errors import InvalidInput
from rarefy.registry import Registry


class OptimizerRule(Protocol):
    """Builds a torch optimizer over parameter groups.

    A class constant ``kind``, ``"adam"`` or ``"sgd"``, says how its learning rates follow the width of a network; a
    rule without one cannot be used where a scaling has a base width. An option ``eps`` follows it, too.
    """

    def __call__(self, groups: Sequence[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
        """Returns the optimizer; each group has its own weight decay."""


OPTIMIZERS: Registry[OptimizerRule] = Registry("optimizer", "optimizers")


def check_fraction(**options: float) -> None:
    """Raises ValueError if an option is outside [0, 1)."""
    for option, value in options.items():
        if not 0 <= value < 1:
            raise InvalidInput(f"{option} lies in [0, 1); got {value}.", name=option, value=value)
