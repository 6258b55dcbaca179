"""Recurrent layers and cells."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

from torch import nn

from rarefy.models._layers._registry import LAYERS


@LAYERS.register("recurrent")
@dataclasses.dataclass(frozen=True)
class RecurrentLayer:
    """``nn.RNN``, ``nn.LSTM``, ``nn.GRU`` and their cells."""

    is_embedding: ClassVar[bool] = False

    def __call__(self, module: nn.Module) -> Sequence[str]:
        """Names the matrices of every depth and direction."""
        if isinstance(module, nn.RNNBase):
            return [name for name in module._flat_weights_names if name.startswith("weight_")]
        return ["weight_ih", "weight_hh"] if isinstance(module, nn.RNNCellBase) else []
