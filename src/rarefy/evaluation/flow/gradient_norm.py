"""How much gradient reaches the kept weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from rarefy.evaluation.flow._kept import kept_of, loss_inputs, replica, weights_of


def gradient_norm(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    masks: Mapping[str, Tensor] | None = None,
    *,
    training: bool = False,
) -> dict[str, float | dict[str, float]]:
    """L2 norm of the gradient of the mean cross-entropy with respect to the kept weights.

    Biases and normalisation layers are left out. It is computed on a copy: nothing of the model changes.

    Args:
        model: Maps normalised images to logits.
        inputs: One batch, normalised, ``[B, C, H, W]``.
        labels: int64 ``[B]``.
        masks: Which weights are kept.
        training: Whether the copy is in training mode, so that batch norm takes the statistics of this batch. Before
            any training that is what the first step would see; the running statistics say nothing yet.
    Returns:
        ``total``, the norm over all kept weights, and ``layers``, name to norm: ``total`` is the root of the sum of
        their squares.
    Raises:
        ValueError: If the batch is empty or the masks are of another model.

    Example:
        >>> layer = nn.Linear(2, 2, bias=False)
        >>> _ = layer.weight.data.fill_(1.0)
        >>> round(gradient_norm(layer, torch.tensor([[3.0, 4.0]]), torch.tensor([0]))["total"], 4)
        3.5355

    References:
        Evci et al., 2022, arXiv:2010.03533 (gradient flow); Liu et al., 2022, arXiv:2202.02643, gradient flow.
    """
    kept, twin = kept_of(model, masks), replica(model, training=training)
    inputs, labels = loss_inputs(model, inputs, labels)
    weights = weights_of(twin, kept)
    with torch.enable_grad():
        loss = functional.cross_entropy(twin(inputs), labels)
        found = torch.autograd.grad(loss, list(weights.values()), materialize_grads=True)
    squares = {
        name: float((gradient.double() * kept[name]).square().sum())
        for name, gradient in zip(weights, found, strict=True)
    }
    layers = {name: square**0.5 for name, square in squares.items()}
    return {"total": sum(squares.values()) ** 0.5, "layers": layers}
