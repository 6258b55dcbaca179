"""The linear layer of GPT-2 in the library transformers, which is called Conv1D and holds its weight transposed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

from torch import nn

from rarefy.models._layers._registry import LAYERS

_NAME = "transformers.pytorch_utils.Conv1D"  # by name, so that transformers need not be installed


@LAYERS.register("transformers_conv1d")
@dataclasses.dataclass(frozen=True)
class TransformersConv1d:
    """``transformers.pytorch_utils.Conv1D``: a weight ``[in, out]``, multiplied from the right."""

    is_embedding: ClassVar[bool] = False

    def __call__(self, module: nn.Module) -> Sequence[str]:
        """Names the weight."""
        names = (f"{cls.__module__}.{cls.__qualname__}" for cls in type(module).__mro__)
        return ["weight"] if _NAME in names else []
