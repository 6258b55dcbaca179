"""AdamW: Adam with decoupled weight decay."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch

from rarefy.training.optimizers._registry import OPTIMIZERS
from rarefy.training.optimizers.adam import Adam


@OPTIMIZERS.register("adamw")
@dataclasses.dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay; its options are those of `Adam`.

    Example:
        >>> AdamW()([{"params": [torch.nn.Parameter(torch.ones(1))]}], lr=0.1).defaults["betas"]
        (0.9, 0.999)

    References:
        Loshchilov and Hutter, 2019, arXiv:1711.05101.
    """

    rule: ClassVar[type[torch.optim.Adam]] = torch.optim.AdamW
