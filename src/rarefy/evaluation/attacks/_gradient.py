"""Gradient, projection and checks of gradient attacks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from rarefy.errors import InvalidInput
from rarefy.evaluation.attacks._registry import Function


def compute_gradient_sign(function: Function, pixels: Tensor, labels: Tensor) -> Tensor:
    """Computes the sign of the gradient of the summed cross-entropy with respect to the pixels."""
    with torch.enable_grad():
        pixels = pixels.detach().requires_grad_()
        loss = functional.cross_entropy(function(pixels), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, pixels)
    return gradient.sign()


def project_to_ball(moved: Tensor, pixels: Tensor, eps: float) -> Tensor:
    """Projects pixels onto the ball of radius eps (max norm) around the image, and onto [0, 1]."""
    return torch.minimum(torch.maximum(moved, pixels - eps), pixels + eps).clamp_(0, 1)


def check_eps(eps: float) -> None:
    """Raises ValueError unless 0 <= eps <= 1."""
    if not 0 <= eps <= 1:
        raise InvalidInput(
            f"eps is in units of pixels in [0, 1], before normalisation (8/255 = 0.0314); got {eps}",
            name="eps",
            value=eps,
        )
