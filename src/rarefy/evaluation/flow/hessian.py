"""The sharpest direction of the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from rarefy.errors import InvalidInput
from rarefy.evaluation.flow._kept import kept_of, loss_inputs, replica, weights_of
from rarefy.rng import Streams


def top_eigenvalue(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    masks: Mapping[str, Tensor] | None = None,
    *,
    iterations: int = 50,
    tolerance: float = 1e-3,
    seed: int = 0,
) -> dict[str, float | int | bool]:
    """Eigenvalue of largest magnitude of the Hessian of the mean cross-entropy, with respect to the kept weights.

    Power iteration on products of the Hessian with a vector, on a copy of the model in evaluation mode.

    Args:
        model: Maps normalised images to logits; it must be differentiable twice.
        inputs: One batch, normalised, ``[B, C, H, W]``.
        labels: int64 ``[B]``.
        masks: Which weights are kept; the vector is 0 at the others.
        iterations: At most so many products.
        tolerance: Stop when the eigenvalue changes by less than this share of itself.
        seed: Root of the first vector.
    Returns:
        ``eigenvalue``, ``iterations`` done, and whether they ``converged``.
    Raises:
        ValueError: If the batch is empty, the masks are of another model, or there is no iteration to do.

    Example:
        >>> layer = nn.Linear(1, 2, bias=False)
        >>> _ = layer.weight.data.fill_(1.0)  # p = 1/2: the Hessian of both logits is [[1, -1], [-1, 1]] / 4
        >>> round(top_eigenvalue(layer, torch.ones(1, 1), torch.tensor([0]))["eigenvalue"], 4)
        0.5

    References:
        Pearlmutter, 1994 (exact products); Yao et al., 2020, arXiv:1912.07145 (power iteration on networks).
    """
    if iterations < 1:
        raise InvalidInput(f"iterations must be at least 1, got {iterations}.", name="iterations", value=iterations)
    kept, twin = kept_of(model, masks), replica(model)
    inputs, labels = loss_inputs(model, inputs, labels)
    weights = list(weights_of(twin, kept).values())
    with torch.enable_grad():
        loss = functional.cross_entropy(twin(inputs), labels)
        gradients = torch.autograd.grad(loss, weights, create_graph=True, materialize_grads=True)
    generator = Streams(seed)("hessian")
    vector = [
        torch.randn(w.shape, generator=generator).to(w) * mask for w, mask in zip(weights, kept.values(), strict=True)
    ]
    value, converged, done = 0.0, False, 0
    while done < iterations and not converged:
        vector = _unit(vector)
        dense = torch.autograd.grad(gradients, weights, vector, retain_graph=True, materialize_grads=True)
        product = [part * mask for part, mask in zip(dense, kept.values(), strict=True)]
        before, value, done = value, _dot(vector, product), done + 1
        converged = done > 1 and abs(value - before) <= tolerance * abs(value)
        vector = product
    return {"eigenvalue": value, "iterations": done, "converged": converged}


def _dot(left: Sequence[Tensor], right: Sequence[Tensor]) -> float:
    return float(sum((a.double() * b.double()).sum() for a, b in zip(left, right, strict=True)))


def _unit(vector: Sequence[Tensor]) -> list[Tensor]:
    length = _dot(vector, vector) ** 0.5
    return [part / length if length else part for part in vector]
