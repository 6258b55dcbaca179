"""SNIP's layer-wise ratios."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from rarefy.allocation._allocate import ALLOCATIONS
from rarefy.allocation._probe import Probe, check_positive


@ALLOCATIONS.register("snip")
@dataclasses.dataclass(frozen=True)
class Snip:
    """``|w * dL/dw|``, the effect on the loss of taking the weight away, in the network that will be trained.

    The weights are the network's own (the paper's code scores freshly drawn ones). Every sample of the probe is used.

    Args:
        samples: Number of class-balanced samples that the caller should draw.
        batch: Samples scored at a time: bounds the memory; the result is that of one batch but for batch norm, which
            normalises each by itself.

    Example:
        >>> model = torch.nn.Linear(3, 2)
        >>> probe = Probe(model, {"weight": model.weight}, torch.ones(4, 3), torch.zeros(4, dtype=torch.int64))
        >>> Snip().samples_needed(classes=10), Snip().saliency(probe, 0.5)["weight"].shape
        (128, torch.Size([2, 3]))

    References:
        Lee et al., 2019, arXiv:1810.02340, equation 6.
    """

    title: ClassVar[str] = "SNIP"
    samples: int = 128
    batch: int = 128

    def __post_init__(self) -> None:
        """Checks the options."""
        check_positive(samples=self.samples, batch=self.batch)

    def samples_needed(self, classes: int) -> int:
        """The option ``samples``, whatever the number of classes."""
        return self.samples

    def saliency(self, probe: Probe, density: float) -> dict[str, Tensor]:
        """Score of each weight on all samples of the probe; the density plays no role.

        Raises:
            ValueError: If the probe has no targets.
        """
        network, weights = probe.copy_network()
        gradients = {name: torch.zeros_like(weight) for name, weight in weights.items()}

        def add(loss: Tensor) -> None:
            parts = torch.autograd.grad(loss, list(weights.values()), materialize_grads=True)
            for total, part in zip(gradients.values(), parts, strict=True):
                total += part

        probe.visit_losses(network, add, batch=self.batch)
        return {name: (weight.detach() * gradients[name]).abs() for name, weight in weights.items()}
