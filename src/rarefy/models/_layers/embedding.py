"""Tables of embeddings."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

from torch import nn

from rarefy.models._layers._registry import LAYERS


@LAYERS.register("embedding")
@dataclasses.dataclass(frozen=True)
class EmbeddingLayer:
    """``nn.Embedding`` and ``nn.EmbeddingBag``, pruned on request only."""

    is_embedding: ClassVar[bool] = True

    def __call__(self, module: nn.Module) -> Sequence[str]:
        """Names the table."""
        return ["weight"] if isinstance(module, (nn.Embedding, nn.EmbeddingBag)) else []
