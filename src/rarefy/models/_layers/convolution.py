"""Convolutions and transposed convolutions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

from torch import nn

from rarefy.models._layers._registry import LAYERS

_TYPES = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)


@LAYERS.register("convolution")
@dataclasses.dataclass(frozen=True)
class ConvolutionLayer:
    """Torch's convolutions of one to three dimensions, transposed ones too, and what derives from them."""

    is_embedding: ClassVar[bool] = False

    def __call__(self, module: nn.Module) -> Sequence[str]:
        """Names the kernel."""
        return ["weight"] if isinstance(module, _TYPES) else []
