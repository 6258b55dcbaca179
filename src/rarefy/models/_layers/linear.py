"""Linear and bilinear layers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

from torch import nn

from rarefy.models._layers._registry import LAYERS


@LAYERS.register("linear")
@dataclasses.dataclass(frozen=True)
class LinearLayer:
    """``nn.Linear``, ``nn.Bilinear`` and what derives from them."""

    is_embedding: ClassVar[bool] = False

    def __call__(self, module: nn.Module) -> Sequence[str]:
        """Names the one weight."""
        return ["weight"] if isinstance(module, (nn.Linear, nn.Bilinear)) else []
