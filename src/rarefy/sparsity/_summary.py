"""Summaries of a layer and of a checkpoint file."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import torch


@dataclasses.dataclass(frozen=True)
class LayerSummary:
    """One prunable weight, counted from its mask.

    Args:
        name: Parameter name of the weight.
        shape: Shape of the weight.
        kept: Number of weights kept.

    Example:
        >>> LayerSummary("fc.weight", (10, 64), 32).density
        0.05
    """

    name: str
    shape: tuple[int, ...]
    kept: int

    @property
    def density(self) -> float:
        """Fraction of the layer's weights kept, in [0, 1]."""
        return self.kept / torch.Size(self.shape).numel()


class SizeReport(NamedTuple):
    """Size of a checkpoint, and of the same model with every weight.

    Args:
        file_bytes: Size of the file.
        dense_bytes: Bytes of all parameters and buffers, each stored once.

    Example:
        >>> SizeReport(file_bytes=100, dense_bytes=1000).ratio
        0.1
    """

    file_bytes: int
    dense_bytes: int

    @property
    def ratio(self) -> float:
        """file_bytes / dense_bytes."""
        return self.file_bytes / self.dense_bytes
