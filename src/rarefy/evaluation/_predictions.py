"""Predictions of a model on a split, computed once and shared by all metrics."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from rarefy.distributed import SINGLE_PROCESS, World
from rarefy.errors import InvalidInput

_NOTHING = torch.zeros(0, 0, dtype=torch.float32), torch.zeros(0, dtype=torch.int64)


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Logits and labels of a split, on the CPU.

    Args:
        logits: Outputs before the softmax, float32 ``[N, classes]``.
        labels: True classes, int64 ``[N]``.

    Raises:
        ValueError: If they are empty, or their shapes do not match.

    Example:
        >>> len(Predictions(torch.zeros(3, 10), torch.zeros(3, dtype=torch.int64)))
        3
    """

    logits: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.logits.ndim != 2 or self.labels.shape != self.logits.shape[:1]:
            shapes = f"{tuple(self.logits.shape)} and {tuple(self.labels.shape)}"
            raise InvalidInput(f"Predictions need logits [N, classes] and labels [N]; got {shapes}.")
        if not len(self.labels):
            raise InvalidInput("There is nothing to score: the split has no images.")

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)


@torch.no_grad()
def predict(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], *, world: World = SINGLE_PROCESS
) -> Predictions:
    """Runs a model over batches in evaluation mode, then restores its mode.

    Args:
        model: Maps images ``[B, C, H, W]`` to logits ``[B, classes]``.
        batches: (images, labels) on the model's device, in order and unaugmented.
        world: Processes that call this together, each with its part of the batches in the order of ranks.

    Returns:
        The predictions of all processes, on the CPU, in float32.

    Raises:
        ValueError: If there are no batches.

    Example:
        >>> len(predict(nn.Flatten(), [(torch.zeros(2, 1, 1, 3), torch.zeros(2, dtype=torch.int64))]))
        2
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        pairs = [(model(images).float().cpu(), labels.cpu()) for images, labels in batches]
    finally:
        for module, mode in modes:
            module.training = mode
    logits, labels = zip(*pairs or [_NOTHING], strict=True)
    return Predictions(world.all_gather(torch.cat(logits)), world.all_gather(torch.cat(labels)))
