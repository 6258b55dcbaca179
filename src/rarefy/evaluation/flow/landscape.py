"""The loss along random lines through the weights."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from rarefy.errors import InvalidInput
from rarefy.evaluation.flow._kept import kept_of, loss_inputs, replica, weights_of
from rarefy.rng import Streams


@torch.no_grad()
def landscape(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    masks: Mapping[str, Tensor] | None = None,
    *,
    dimensions: Literal[1, 2] = 1,
    points: int = 11,
    radius: float = 1.0,
    seed: int = 0,
) -> dict[str, list[float]]:
    """Loss on a line or a plane through the weights, along random directions scaled filter by filter.

    Each filter (a slice of a weight's first dimension) of a direction is as long as the weights' own; pruned weights,
    biases and normalisation layers stay where they are. It is computed on a copy in evaluation mode.

    Args:
        model: Maps normalised images to logits.
        inputs: One batch, normalised, ``[B, C, H, W]``.
        labels: int64 ``[B]``.
        masks: Which weights are kept.
        dimensions: 1 for a line, 2 for a plane.
        points: Points a dimension, from 3 on and odd, so that the weights themselves are one of them.
        radius: How far to go each way; 1 is as far as the weights are from 0.
        seed: Root of the directions; the first one of a plane is that of the line.
    Returns:
        ``at``, the points of a dimension, and ``loss``, the mean cross-entropy: ``points`` numbers for a line,
        ``points ** 2`` for a plane, row by row: the second direction changes fastest.
    Raises:
        ValueError: If the batch is empty, the masks are of another model or an option is out of range.

    Example:
        >>> layer = nn.Linear(2, 2, bias=False)
        >>> found = landscape(layer, torch.ones(1, 2), torch.tensor([0]), points=3)
        >>> found["at"], len(found["loss"])
        ([-1.0, 0.0, 1.0], 3)

    References:
        Li et al., 2018, arXiv:1712.09913, section 4 (filter-wise normalised directions).
    """
    if dimensions not in (1, 2) or points < 3 or points % 2 == 0 or not radius > 0:
        raise InvalidInput(
            "dimensions are 1 or 2, points odd and at least 3, the radius above 0; "
            f"{dimensions}, {points} and {radius} came."
        )
    kept, twin = kept_of(model, masks), replica(model)
    inputs, labels = loss_inputs(model, inputs, labels)
    weights = weights_of(twin, kept)
    home = {name: weight.detach().clone() for name, weight in weights.items()}
    directions = [_direction(home, kept, Streams(seed)("landscape", number)) for number in range(dimensions)]
    at = [radius * (2 * step - (points - 1)) / (points - 1) for step in range(points)]
    losses = []
    for place in itertools.product(at, repeat=dimensions):
        for name, weight in weights.items():
            steps = zip(place, directions, strict=True)
            weight.copy_(home[name] + torch.stack([share * step[name] for share, step in steps]).sum(0))
        losses.append(functional.cross_entropy(twin(inputs), labels).item())
    return {"at": at, "loss": losses}


def _direction(home: Mapping[str, Tensor], kept: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    found = {}
    for name, weight in home.items():
        draw = torch.randn(weight.shape, generator=generator).to(weight) * kept[name]
        lengths = [part.flatten(1).norm(dim=1).view(-1, *[1] * (part.ndim - 1)) for part in (weight, draw)]
        found[name] = draw * (lengths[0] / lengths[1].clamp_min(1e-12))
    return found
