"""GraSP's densities."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from rarefy.allocation._allocate import ALLOCATIONS
from rarefy.allocation._probe import Probe, check_positive


@ALLOCATIONS.register("grasp")
@dataclasses.dataclass(frozen=True)
class Grasp:
    """``w * Hg``: taking away what scores low hurts the norm of the gradient least, or raises it.

    GraSP writes the score as ``-w * Hg`` and removes the largest; this is the same with the sign that keeps what scores
    high. ``g`` is the gradient and ``H`` the Hessian of the loss of the outputs divided by ``temperature``, over every
    sample of the probe; any number of classes.

    Args:
        samples_per_class: Number of samples of each class that the caller should draw.
        temperature: Divides the outputs, so that a fresh network's softmax is flat.
        batch: Samples at a time: bounds the memory, as in SNIP.

    Example:
        >>> Grasp().samples_needed(classes=100)
        2500

    References:
        Wang et al., 2020, arXiv:2002.07376, equation 8 and algorithm 2.
    """

    title: ClassVar[str] = "GraSP"
    samples_per_class: int = 25
    temperature: float = 200.0
    batch: int = 128

    def __post_init__(self) -> None:
        """Checks the options."""
        check_positive(samples_per_class=self.samples_per_class, temperature=self.temperature, batch=self.batch)

    def samples_needed(self, classes: int) -> int:
        """``samples_per_class`` of each class."""
        return self.samples_per_class * classes

    def saliency(self, probe: Probe, density: float) -> dict[str, Tensor]:
        """Score of each weight on all samples of the probe; the density plays no role.

        Raises:
            ValueError: If the probe has no targets.
        """
        network, weights = probe.copy_network()
        parameters = list(weights.values())
        gradient = [torch.zeros_like(weight) for weight in parameters]
        product = [torch.zeros_like(weight) for weight in parameters]

        def add_gradient(loss: Tensor) -> None:
            _add(gradient, torch.autograd.grad(loss, parameters, materialize_grads=True))

        def add_product(loss: Tensor) -> None:
            gradients = torch.autograd.grad(loss, parameters, create_graph=True, materialize_grads=True)
            along = torch.stack([(part * whole).sum() for part, whole in zip(gradients, gradient, strict=True)]).sum()
            _add(product, torch.autograd.grad(along, parameters, materialize_grads=True))

        probe.visit_losses(network, add_gradient, batch=self.batch, temperature=self.temperature)
        probe.visit_losses(network, add_product, batch=self.batch, temperature=self.temperature)
        return {name: weight.detach() * part for (name, weight), part in zip(weights.items(), product, strict=True)}


def _add(totals: list[Tensor], parts: tuple[Tensor, ...]) -> None:
    for total, part in zip(totals, parts, strict=True):
        total += part.detach()
