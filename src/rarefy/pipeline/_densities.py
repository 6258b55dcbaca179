"""Computes how many weights each layer of a model keeps, without data."""

from __future__ import annotations

import dataclasses
import math

from rarefy import evaluation, models
from rarefy.allocation import allocate
from rarefy.config import Config
from rarefy.pipeline._build import build_dense_model
from rarefy.pipeline._resolve import resolve
from rarefy.rng import Streams
from rarefy.sparsity import count_least


@dataclasses.dataclass(frozen=True)
class LayerCost:
    """Number of kept weights of one layer, and the FLOPs of its dense forward pass for one image.

    Example:
        >>> LayerCost("fc.weight", (10, 64), kept=32, flops=1280).density
        0.05
    """

    name: str
    shape: tuple[int, ...]
    kept: int
    flops: int

    @property
    def total(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)

    @property
    def density(self) -> float:
        """Fraction of weights kept."""
        return self.kept / self.total


def compute_densities(config: Config, *, in_channels: int, classes: int, size: tuple[int, int]) -> list[LayerCost]:
    """Computes how many weights each layer keeps, and its FLOPs; needs neither data nor training.

    Args:
        config: A config; only model, allocation, density, connect and initialiser are used.
        in_channels: Channels of an image.
        classes: Number of classes.
        size: Height and width of an image.

    Raises:
        ValueError: If the allocation needs data, or cannot reach the density.

    Example:
        >>> config = Config(model="mlp_16", allocation="uniform", density=0.25)
        >>> [layer.kept for layer in compute_densities(config, in_channels=1, classes=4, size=(2, 2))]
        [16, 16]
    """
    resolved = resolve(config)
    model = build_dense_model(resolved, in_channels, classes, size, Streams(config.seed))
    weights = models.prunable(model)
    shapes = {name: tuple(weight.shape) for name, weight in weights.items()}
    groups = models.read_groups(model, weights) if config.connect else None
    least = count_least(shapes, groups, resolved.initialiser)
    counts = allocate(resolved.allocation, shapes, config.density, least=least)
    flops = evaluation.count_layer_flops(model, weights, (in_channels, *size))
    return [LayerCost(name, shapes[name], counts[name], flops[name]) for name in shapes]
