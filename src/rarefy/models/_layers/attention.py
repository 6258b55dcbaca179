"""Multi-head attention: its input projections are its own parameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

from torch import nn

from rarefy.models._layers._registry import LAYERS

_PROJECTIONS = ("q_proj_weight", "k_proj_weight", "v_proj_weight", "in_proj_weight")


@LAYERS.register("attention")
@dataclasses.dataclass(frozen=True)
class AttentionLayer:
    """``nn.MultiheadAttention``; its output projection is a linear layer inside of it."""

    is_embedding: ClassVar[bool] = False

    def __call__(self, module: nn.Module) -> Sequence[str]:
        """Names the projections; a module has some of them."""
        return _PROJECTIONS if isinstance(module, nn.MultiheadAttention) else []
