"""The network and samples that a rule scores weights on, without side effects."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import typing
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from rarefy.errors import InvalidInput


@dataclasses.dataclass(frozen=True, eq=False)
class Probe:
    """A network about to be trained, with samples to score its weights on.

    Args:
        model: The network; never written to.
        weights: Layer name to prunable weight: parameters of ``model``, under any names, in registration order.
        inputs: Samples ``[n, ...]``, as the network takes them (normalised), on any device.
        targets: Labels of the samples ``[n]``, or None for rules that need no labels.
        loss: ``(outputs, targets) -> scalar``, the mean over samples.

    Raises:
        ValueError: If there are no samples, or as many targets as samples are not given.

    Example:
        >>> model = nn.Linear(3, 2)
        >>> probe = Probe(model, {"weight": model.weight}, torch.ones(4, 3), torch.tensor([0, 1, 0, 1]))
        >>> network, weights = probe.copy_network()
        >>> weights["weight"] is network.weight, weights["weight"] is model.weight
        (True, False)
    """

    model: nn.Module
    weights: Mapping[str, nn.Parameter]
    inputs: Tensor
    targets: Tensor | None = None
    loss: Callable[[Tensor, Tensor], Tensor] = functional.cross_entropy

    def __post_init__(self) -> None:
        """Checks that samples and targets fit."""
        if len(self.inputs) == 0:
            raise InvalidInput("The sample is empty: scoring weights takes at least one input.")
        if self.targets is not None and len(self.targets) != len(self.inputs):
            raise InvalidInput(f"The sample has {len(self.inputs)} inputs but {len(self.targets)} targets.")

    def copy_network(self) -> tuple[nn.Module, dict[str, nn.Parameter]]:
        """Copies the network (in training mode) and returns it with its weights by name; both may be changed.

        Raises:
            ValueError: If a weight is not a parameter of the model.
        """
        original = _unwrap(self.model)
        network = copy.deepcopy(original).train()
        # Parameters are matched by position: a wrapper or a caller may use other names.
        twins = {id(old): new for old, new in zip(original.parameters(), network.parameters(), strict=True)}
        foreign = [name for name, weight in self.weights.items() if id(weight) not in twins]
        if foreign:
            raise InvalidInput(f"These weights are not parameters of the model: {', '.join(foreign)}.")
        weights = {name: twins[id(weight)] for name, weight in self.weights.items()}
        for weight in weights.values():
            weight.requires_grad_()
        return network, weights

    def visit_losses(
        self, network: nn.Module, use: Callable[[Tensor], None], *, batch: int, temperature: float = 1.0
    ) -> None:
        """Calls ``use`` with the loss of each micro-batch; the losses add up to the mean over all samples.

        The outputs are divided by ``temperature``. Random layers draw the same numbers on every call, and the global
        generators are restored afterwards.

        Raises:
            ValueError: If there are no targets.
        """
        if self.targets is None:
            raise InvalidInput("Scoring weights by a loss takes targets: pass `sample=(x, y)`.")
        device = next(network.parameters()).device
        inputs, targets = self.inputs.to(device), self.targets.to(device)
        with fix_random_state(device), torch.enable_grad():
            for chunk, labels in zip(torch.split(inputs, batch), torch.split(targets, batch), strict=True):
                use(self.loss(network(chunk) / temperature, labels) * (len(chunk) / len(inputs)))


def _unwrap(model: nn.Module) -> nn.Module:
    """Unwraps DDP and ``torch.compile``: their graphs cannot be differentiated twice."""
    while isinstance(model, nn.parallel.DistributedDataParallel) or hasattr(model, "_orig_mod"):
        model = typing.cast(nn.Module, getattr(model, "_orig_mod", None) or model.module)
    return model


@contextlib.contextmanager
def fix_random_state(device: torch.device) -> Iterator[None]:
    """Seeds the global generators that layers draw from, and restores them afterwards."""
    on_cuda = device.type == "cuda"
    with torch.random.fork_rng([device] if on_cuda else []):
        torch.default_generator.manual_seed(0)  # torch.manual_seed would also seed devices that are not restored
        if on_cuda:
            torch.cuda.default_generators[device.index].manual_seed(0)
        yield


def mark_highest(scores: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
    """Marks the weights with the ``count`` highest scores; ties go to the lower position, layers in order.

    Example:
        >>> mark_highest({"a": torch.tensor([3.0, 1.0]), "b": torch.tensor([1.0, 2.0])}, 3)
        {'a': tensor([True, True]), 'b': tensor([False,  True])}
    """
    flat = torch.cat([score.flatten() for score in scores.values()])
    threshold = flat.kthvalue(flat.numel() - count + 1).values
    above, tied = flat > threshold, flat == threshold
    keep = above | (tied & (tied.cumsum(0) <= count - above.sum()))
    marks = torch.split(keep, [score.numel() for score in scores.values()])
    return {name: mark.view(score.shape) for (name, score), mark in zip(scores.items(), marks, strict=True)}


def check_positive(**options: float) -> None:
    """Raises ValueError for an option that is not above 0."""
    for option, value in options.items():
        if not value > 0:
            raise InvalidInput(f"The option {option!r} has to be above 0; got {value}.", name=option, value=value)
