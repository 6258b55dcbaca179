"""ODIN: softmax at a large temperature, after a small step of the pixels towards the predicted class."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn import functional

from rarefy.errors import InvalidInput
from rarefy.evaluation._frozen import freeze_model
from rarefy.evaluation.ood._registry import SCORES
from rarefy.evaluation.ood._view import View


@SCORES.register("odin")
@dataclasses.dataclass(frozen=True)
class Odin:
    """The largest softmax probability at a temperature, after a small step of the pixels that raises it.

    The step changes in-distribution images more than others. As in the paper's code, pixels are not clipped after it.

    Args:
        temperature: T, above 0.
        eps: Size of the step, for pixels in [0, 1] before normalisation; 0 takes none.

    Raises:
        ValueError: If an option is out of range.

    Example:
        >>> SCORES.build("odin", eps=0.002)
        Odin(temperature=1000.0, eps=0.002)

    References:
        Liang, Li and Srikant, 2018, arXiv:1706.02690, equations 1 and 2; the options' defaults are from section 4.
    """

    temperature: float = 1000.0
    eps: float = 0.0014

    def __post_init__(self) -> None:
        """Checks the options."""
        if not (self.temperature > 0 and self.eps >= 0):
            raise InvalidInput(f"temperature must be above 0 and eps at least 0, got {self.temperature} and {self.eps}")

    def __call__(self, view: View) -> Tensor:
        """Computes the scores, float64 ``[N]``, on the CPU."""
        with freeze_model(view.model):
            parts = torch.split(torch.arange(len(view.split)), view.batch_size)
            return torch.cat([self._batch(view, view.split.select(index).images) for index in parts])

    def _batch(self, view: View, images: Tensor) -> Tensor:
        pixels = (images.float() / 255).requires_grad_()
        with torch.enable_grad():
            logits = view.model(view.spec.normalize(pixels)) / self.temperature
            loss = functional.cross_entropy(logits, logits.argmax(1), reduction="sum")
            (gradient,) = torch.autograd.grad(loss, pixels)
        with torch.no_grad():
            logits = view.model(view.spec.normalize(pixels - self.eps * gradient.sign()))
        scores: Tensor = (logits.double() / self.temperature).softmax(1).amax(1)
        return scores.cpu()
