"""The fast gradient sign method: one step, the paper's attack."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from rarefy.evaluation.attacks._gradient import check_eps, gradient_sign, within
from rarefy.evaluation.attacks._registry import ATTACKS, Function


@ATTACKS.register("fgsm")
@dataclasses.dataclass(frozen=True)
class Fgsm:
    """Every pixel one step of ``eps`` in the direction that raises the cross-entropy of the true label.

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
        """The attacked pixels; draws nothing from ``generator``."""
        return within(pixels + self.eps * gradient_sign(function, pixels, labels), pixels, self.eps)
