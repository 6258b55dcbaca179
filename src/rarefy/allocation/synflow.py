"""SynFlow's layer-wise ratios."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor, nn

from rarefy.allocation._allocate import ALLOCATIONS
from rarefy.allocation._probe import Probe, check_positive, mark_highest
from rarefy.errors import InvalidInput


@ALLOCATIONS.register("synflow")
@dataclasses.dataclass(frozen=True)
class SynFlow:
    """``|w| * dR/d|w|`` with ``R`` the summed output for an input of ones: how much flows through the weight.

    Data-free: of the probe's inputs only the shape of one is used, and no target. Parameters are replaced by their
    absolute values; batch norms are in evaluation mode with fresh statistics, since normalising a single input by
    itself leaves no gradient. Weights go in ``iterations`` rounds along ``density ** (round / iterations)``, scored
    again each time, so that no layer collapses.

    Args:
        iterations: Rounds of scoring.
        double: Whether to score in float64: flow multiplies up layer by layer and may overflow float32.

    Example:
        >>> model = torch.nn.Linear(2, 1, bias=False)
        >>> _ = model.weight.data.copy_(torch.tensor([[3.0, -4.0]]))
        >>> SynFlow(iterations=1).saliency(Probe(model, {"weight": model.weight}, torch.zeros(1, 2)), 0.5)["weight"]
        tensor([[3., 4.]], dtype=torch.float64)

    References:
        Tanaka et al., 2020, arXiv:2006.05467, algorithm 1.
    """

    title: ClassVar[str] = "SynFlow"
    iterations: int = 100
    double: bool = True

    def __post_init__(self) -> None:
        """Checks the options."""
        check_positive(iterations=self.iterations)

    def samples_needed(self, classes: int) -> int:
        """One, for its shape."""
        return 1

    def saliency(self, probe: Probe, density: float) -> dict[str, Tensor]:
        """Score of each weight in the last round; -1 where an earlier round has taken the weight out.

        Raises:
            ValueError: If nothing flows, from the start or after the last round: every score is 0.
        """
        network, weights = self._linearise(probe)
        first = next(iter(weights.values()))
        ones = torch.ones_like(probe.inputs[:1], dtype=first.dtype, device=first.device)
        kept = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in weights.items()}
        total = sum(weight.numel() for weight in weights.values())
        scores = _compute_flow(network, weights, kept, ones)
        if not _has_positive(scores):
            raise InvalidInput(
                "SynFlow finds no flow: every score is 0. A layer that normalises its input (layer norm, group norm) "
                "may cancel an input of ones; use 'snip' or 'erk' for this network."
            )
        for step in range(1, self.iterations):
            kept = mark_highest(scores, max(1, round(density ** (step / self.iterations) * total)))
            scores = _compute_flow(network, weights, kept, ones)
        if not _has_positive(scores):
            raise InvalidInput(
                f"At density {density}, {self.iterations} iterations of SynFlow cut every path through the network. "
                "Ask for more iterations or a larger density."
            )
        return scores

    def _linearise(self, probe: Probe) -> tuple[nn.Module, dict[str, nn.Parameter]]:
        network, weights = probe.copy_network()
        network = network.double() if self.double else network
        for module in network.eval().modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.reset_running_stats()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.abs_()
        return network, weights


def _compute_flow(
    network: nn.Module, weights: dict[str, nn.Parameter], kept: dict[str, Tensor], ones: Tensor
) -> dict[str, Tensor]:
    with torch.no_grad():
        for name, weight in weights.items():
            weight.mul_(kept[name])
    with torch.enable_grad():
        flows = torch.autograd.grad(network(ones).sum(), list(weights.values()), materialize_grads=True)
    scores = {name: weight.detach() * flow for (name, weight), flow in zip(weights.items(), flows, strict=True)}
    return {name: score.where(kept[name], -1.0) for name, score in scores.items()}


def _has_positive(scores: dict[str, Tensor]) -> bool:
    return any(bool((score > 0).any()) for score in scores.values())
