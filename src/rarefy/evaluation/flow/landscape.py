"""Loss along random directions through the weights."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from rarefy.errors import InvalidInput
from rarefy.evaluation.flow._kept import copy_model, find_kept_weights, prepare_batch, select_weights
from rarefy.rng import Streams


@torch.no_grad()
def compute_landscape(
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
    """Computes the loss on a line or plane through the weights, along random directions normalised per filter.

    Each filter (a slice of a weight's first dimension) of a direction has the norm of the weights' own; pruned weights,
    biases and normalisation layers do not change. It is computed on a copy in evaluation mode.

    Args:
        model: Maps normalised images to logits.
        inputs: One batch, normalised, ``[B, C, H, W]``.
        labels: int64 ``[B]``.
        masks: Masks of the kept weights; None: the weights that are not 0.
        dimensions: 1 for a line, 2 for a plane.
        points: Points per dimension, odd and at least 3, so that the weights themselves are one of them.
        radius: Largest distance in both directions; 1 is the norm of the weights.
        seed: Root seed of the directions; the first of a plane is that of the line.
    Returns:
        ``at``, the points of one dimension, and ``loss``, the mean cross-entropy: ``points`` numbers for a line,
        ``points ** 2`` for a plane, in which the second direction varies fastest.
    Raises:
        ValueError: If the batch is empty, the masks do not fit the model, or an option is out of range.

    Example:
        >>> layer = nn.Linear(2, 2, bias=False)
        >>> result = compute_landscape(layer, torch.ones(1, 2), torch.tensor([0]), points=3)
        >>> result["at"], len(result["loss"])
        ([-1.0, 0.0, 1.0], 3)

    References:
        Li et al., 2018, arXiv:1712.09913, section 4 (filter-wise normalised directions).
    """
    if dimensions not in (1, 2) or points < 3 or points % 2 == 0 or not radius > 0:
        raise InvalidInput(
            "dimensions are 1 or 2, points odd and at least 3, the radius above 0; "
            f"got {dimensions}, {points} and {radius}."
        )
    kept, twin = find_kept_weights(model, masks), copy_model(model)
    inputs, labels = prepare_batch(model, inputs, labels)
    weights = select_weights(twin, kept)
    center = {name: weight.detach().clone() for name, weight in weights.items()}
    directions = [_draw_direction(center, kept, Streams(seed)("landscape", number)) for number in range(dimensions)]
    at = [radius * (2 * step - (points - 1)) / (points - 1) for step in range(points)]
    losses = []
    for point in itertools.product(at, repeat=dimensions):
        for name, weight in weights.items():
            steps = zip(point, directions, strict=True)
            weight.copy_(center[name] + torch.stack([share * step[name] for share, step in steps]).sum(0))
        losses.append(functional.cross_entropy(twin(inputs), labels).item())
    return {"at": at, "loss": losses}


def _draw_direction(
    center: Mapping[str, Tensor], kept: Mapping[str, Tensor], generator: torch.Generator
) -> dict[str, Tensor]:
    direction = {}
    for name, weight in center.items():
        draw = torch.randn(weight.shape, generator=generator).to(weight) * kept[name]
        lengths = [part.flatten(1).norm(dim=1).view(-1, *[1] * (part.ndim - 1)) for part in (weight, draw)]
        direction[name] = draw * (lengths[0] / lengths[1].clamp_min(1e-12))
    return direction
