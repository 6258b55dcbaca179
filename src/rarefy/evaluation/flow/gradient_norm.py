"""Gradient norm over the kept weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from rarefy.evaluation.flow._kept import copy_model, find_kept_weights, prepare_batch, select_weights


def compute_gradient_norm(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    masks: Mapping[str, Tensor] | None = None,
    *,
    training: bool = False,
) -> dict[str, float | dict[str, float]]:
    """Computes the L2 norm of the gradient of the mean cross-entropy with respect to the kept weights.

    Biases and normalisation layers are left out. It is computed on a copy of the model.

    Args:
        model: Maps normalised images to logits.
        inputs: One batch, normalised, ``[B, C, H, W]``.
        labels: int64 ``[B]``.
        masks: Masks of the kept weights; None: the weights that are not 0.
        training: Whether the copy is in training mode, so that batch norm uses the statistics of this batch. Use it for
            an untrained model, whose running statistics are not set yet.
    Returns:
        ``total``, the norm over all kept weights, and ``layers``, the norms by name; ``total`` is the root of the sum
        of their squares.
    Raises:
        ValueError: If the batch is empty or the masks do not fit the model.

    Example:
        >>> layer = nn.Linear(2, 2, bias=False)
        >>> _ = layer.weight.data.fill_(1.0)
        >>> round(compute_gradient_norm(layer, torch.tensor([[3.0, 4.0]]), torch.tensor([0]))["total"], 4)
        3.5355

    References:
        Evci et al., 2022, arXiv:2010.03533 (gradient flow); Liu et al., 2022, arXiv:2202.02643, gradient flow.
    """
    kept, twin = find_kept_weights(model, masks), copy_model(model, training=training)
    inputs, labels = prepare_batch(model, inputs, labels)
    weights = select_weights(twin, kept)
    with torch.enable_grad():
        loss = functional.cross_entropy(twin(inputs), labels)
        gradients = torch.autograd.grad(loss, list(weights.values()), materialize_grads=True)
    squares = {
        name: float((gradient.double() * kept[name]).square().sum())
        for name, gradient in zip(weights, gradients, strict=True)
    }
    layers = {name: square**0.5 for name, square in squares.items()}
    return {"total": sum(squares.values()) ** 0.5, "layers": layers}
