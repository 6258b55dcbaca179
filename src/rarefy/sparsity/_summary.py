"""The summary of a layer."""

from __future__ import annotations

import dataclasses

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
