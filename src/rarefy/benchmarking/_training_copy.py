"""A copy of a network that trains, to be timed or profiled."""

from __future__ import annotations

import copy
import dataclasses

import torch
from torch import Tensor, nn

from rarefy import engines
from rarefy.sparsity import Sparsity
from rarefy.topology import TOPOLOGIES


@dataclasses.dataclass(frozen=True)
class TrainingCopy:
    """A network in training mode with SGD with momentum, whose steps change next to nothing, and a batch.

    Args:
        model: The network.
        optimizer: Its optimizer.
        images: Images of the batch.
        labels: Their labels.
        layers: Layer name to how the engine computes it.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    images: Tensor
    labels: Tensor
    layers: dict[str, str]

    def compute_loss(self) -> Tensor:
        """Runs the network on the batch and returns the loss."""
        return nn.functional.cross_entropy(self.model(self.images), self.labels)

    def step(self) -> None:
        """Trains one step."""
        self.optimizer.zero_grad(set_to_none=True)
        self.compute_loss().backward()  # type: ignore[no-untyped-call]  # torch's own
        self.optimizer.step()


def make_training_copy(
    model: nn.Module, sparsity: Sparsity, engine: str | None, images: Tensor, *, channels_last: bool = False
) -> TrainingCopy:
    """Makes a copy whose masks stay. Without an engine it is dense: no mask is applied."""
    copied_model, masks = copy.deepcopy((model, sparsity))
    masks.masked_model.topology = TOPOLOGIES.build("static")
    copied_model.train()
    inputs = set_memory_format(copied_model, images, channels_last=channels_last)
    plan = engines.use_engine(copied_model, masks, engine, inputs=images) if engine else None
    optimizer = torch.optim.SGD(copied_model.parameters(), lr=1e-6, momentum=0.9, weight_decay=5e-4)
    if engine:
        masks.attach(optimizer)
    labels = torch.zeros(len(images), dtype=torch.int64)
    return TrainingCopy(copied_model, optimizer, inputs, labels, dict(plan.layers) if plan else {})


def set_memory_format(model: nn.Module, images: Tensor, *, channels_last: bool) -> Tensor:
    """Lays out a model's weights in memory, and returns the images in the same layout."""
    if not channels_last:
        return images
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    return images.contiguous(memory_format=torch.channels_last)
