"""Fast gradient sign method: one step."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from rarefy.evaluation.attacks._gradient import check_eps, compute_gradient_sign, project_to_ball
from rarefy.evaluation.attacks._registry import ATTACKS, Function


@ATTACKS.register("fgsm")
@dataclasses.dataclass(frozen=True)
class Fgsm:
    """Moves every pixel by ``eps`` in the direction that raises the cross-entropy of the true label.

    Args:
        eps: Size of the step, for pixels in [0, 1] before normalisation.
    Raises:
        ValueError: If eps is out of range.

    Example:
        >>> ATTACKS.build("fgsm", eps=0.01)
        Fgsm(eps=0.01)

    References:
        Goodfellow, Shlens and Szegedy, 2015, arXiv:1412.6572, section 4.
        eps = 8/255: Liu et al., 2022, arXiv:2202.02643, adversarial robustness.
    """

    eps: float = 8 / 255

    def __post_init__(self) -> None:
        """Checks eps."""
        check_eps(self.eps)

    def __call__(self, function: Function, pixels: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Computes the attacked pixels; draws nothing from ``generator``."""
        return project_to_ball(pixels + self.eps * compute_gradient_sign(function, pixels, labels), pixels, self.eps)
