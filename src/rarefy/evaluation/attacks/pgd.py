"""Projected gradient descent: many small steps from random starts."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn import functional

from rarefy.errors import InvalidInput
from rarefy.evaluation.attacks._gradient import check_eps, compute_gradient_sign, project_to_ball
from rarefy.evaluation.attacks._registry import ATTACKS, Function


@ATTACKS.register("pgd")
@dataclasses.dataclass(frozen=True)
class Pgd:
    """Steps along the sign of the gradient, each followed by a projection onto the ball and [0, 1].

    Of several restarts an image keeps the result that is misclassified, among those the one with the highest loss.

    Args:
        eps: Radius of the ball in every pixel, for pixels in [0, 1] before normalisation.
        steps: Gradient steps per restart: 20 and 50 are usual.
        step_size: Size of a step in the same units; None is a quarter of eps, 2/255 for 8/255.
        restarts: Number of different starts.
        random_start: Start uniformly in the ball, rather than at the image.
    Raises:
        ValueError: If an option is out of range, or several restarts would all start at the image.

    Example:
        >>> ATTACKS.build("pgd", steps=50, restarts=10)
        Pgd(eps=0.03137254901960784, steps=50, step_size=None, restarts=10, random_start=True)

    References:
        Madry et al., 2018, arXiv:1706.06083, section 2.1; eps = 8 and steps of 2 (of 255): section 5.
    """

    eps: float = 8 / 255
    steps: int = 20
    step_size: float | None = None
    restarts: int = 1
    random_start: bool = True

    def __post_init__(self) -> None:
        """Checks the options."""
        check_eps(self.eps)
        if self.steps < 1 or self.restarts < 1:
            raise InvalidInput(f"steps and restarts must be at least 1, got {self.steps} and {self.restarts}")
        if self.step_size is not None and not self.step_size > 0:
            raise InvalidInput(
                f"step_size must be above 0, got {self.step_size}; None is eps / 4",
                name="step_size",
                value=self.step_size,
            )
        if self.restarts > 1 and not self.random_start:
            raise InvalidInput(f"restarts={self.restarts} would all be the same; use random_start=True or restarts=1")

    def __call__(self, function: Function, pixels: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Computes the attacked pixels; ``generator`` gives the starts."""
        best, highest = pixels, torch.full((len(pixels),), -torch.inf, device=pixels.device)
        for start in self._draw_starts(pixels, generator):
            moved = self._ascend(function, pixels, labels, start)
            value = _rank_results(function, moved, labels)
            best = torch.where((value > highest).view(-1, 1, 1, 1), moved, best)
            highest = torch.maximum(value, highest)
        return best

    def _draw_starts(self, pixels: Tensor, generator: torch.Generator) -> list[Tensor]:
        if not self.random_start:
            return [pixels]
        # Image by image, so that a start does not depend on the size of the batch.
        draws = torch.rand(len(pixels), self.restarts, *pixels.shape[1:], generator=generator).to(pixels)
        return [project_to_ball(pixels + self.eps * (2 * draw - 1), pixels, self.eps) for draw in draws.unbind(1)]

    def _ascend(self, function: Function, pixels: Tensor, labels: Tensor, moved: Tensor) -> Tensor:
        step = self.eps / 4 if self.step_size is None else self.step_size
        for _ in range(self.steps):
            moved = project_to_ball(moved + step * compute_gradient_sign(function, moved, labels), pixels, self.eps)
        return moved


@torch.no_grad()
def _rank_results(function: Function, pixels: Tensor, labels: Tensor) -> Tensor:
    """Ranks results, ``[B]``, by loss (NaN as -inf), misclassified images (1e9 added) above all others."""
    logits = function(pixels)
    loss = functional.cross_entropy(logits.double(), labels, reduction="none").nan_to_num(nan=-torch.inf)
    return loss + 1e9 * (logits.argmax(1) != labels)
