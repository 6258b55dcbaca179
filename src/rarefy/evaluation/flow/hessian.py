"""Largest eigenvalue of the Hessian of the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from rarefy.errors import InvalidInput
from rarefy.evaluation.flow._kept import copy_model, find_kept_weights, prepare_batch, select_weights
from rarefy.rng import Streams


def compute_top_eigenvalue(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    masks: Mapping[str, Tensor] | None = None,
    *,
    iterations: int = 50,
    tolerance: float = 1e-3,
    seed: int = 0,
) -> dict[str, float | int | bool]:
    """Computes the eigenvalue of largest magnitude of the Hessian of the mean cross-entropy over the kept weights.

    Uses power iteration on Hessian-vector products, on a copy of the model in evaluation mode.

    Args:
        model: Maps normalised images to logits; must be twice differentiable.
        inputs: One batch, normalised, ``[B, C, H, W]``.
        labels: int64 ``[B]``.
        masks: Masks of the kept weights; None: the weights that are not 0. The vector is 0 elsewhere.
        iterations: Largest number of products.
        tolerance: Stop when the eigenvalue changes by less than this fraction.
        seed: Root seed of the first vector.
    Returns:
        ``eigenvalue``, the number of ``iterations``, and whether they ``converged``.
    Raises:
        ValueError: If the batch is empty, the masks do not fit the model, or iterations is below 1.

    Example:
        >>> layer = nn.Linear(1, 2, bias=False)
        >>> _ = layer.weight.data.fill_(1.0)  # p = 1/2: the Hessian of both logits is [[1, -1], [-1, 1]] / 4
        >>> round(compute_top_eigenvalue(layer, torch.ones(1, 1), torch.tensor([0]))["eigenvalue"], 4)
        0.5

    References:
        Pearlmutter, 1994 (exact products); Yao et al., 2020, arXiv:1912.07145 (power iteration on networks).
    """
    if iterations < 1:
        raise InvalidInput(f"iterations must be at least 1, got {iterations}.", name="iterations", value=iterations)
    kept, twin = find_kept_weights(model, masks), copy_model(model)
    inputs, labels = prepare_batch(model, inputs, labels)
    weights = list(select_weights(twin, kept).values())
    with torch.enable_grad():
        loss = functional.cross_entropy(twin(inputs), labels)
        gradients = torch.autograd.grad(loss, weights, create_graph=True, materialize_grads=True)
    generator = Streams(seed)("hessian")
    vector = [
        torch.randn(w.shape, generator=generator).to(w) * mask for w, mask in zip(weights, kept.values(), strict=True)
    ]
    value, converged, done = 0.0, False, 0
    while done < iterations and not converged:
        vector = _normalize(vector)
        dense = torch.autograd.grad(gradients, weights, vector, retain_graph=True, materialize_grads=True)
        product = [part * mask for part, mask in zip(dense, kept.values(), strict=True)]
        before, value, done = value, _compute_dot(vector, product), done + 1
        converged = done > 1 and abs(value - before) <= tolerance * abs(value)
        vector = product
    return {"eigenvalue": value, "iterations": done, "converged": converged}


def _compute_dot(left: Sequence[Tensor], right: Sequence[Tensor]) -> float:
    return float(sum((a.double() * b.double()).sum() for a, b in zip(left, right, strict=True)))


def _normalize(vector: Sequence[Tensor]) -> list[Tensor]:
    length = _compute_dot(vector, vector) ** 0.5
    return [part / length if length else part for part in vector]
