"""The door of the room."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from rarefy.distributed import SINGLE_PROCESS, World
from rarefy.evaluation._predictions import predict
from rarefy.evaluation.metrics import Metric


def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    metrics: Mapping[str, Metric],
    *,
    world: World = SINGLE_PROCESS,
) -> dict[str, Any]:
    """Scores a model on a split.

    Args:
        model: Maps images to logits; it is used in evaluation mode and not changed.
        batches: (images, labels) of the split, unaugmented.
        metrics: Name to metric; the predictions are computed once for all of them.
        world: Processes that call this together, each with its part of the batches; all get the values of the whole.

    Returns:
        Name to value.

    Raises:
        ValueError: If the split is empty.

    Example:
        >>> import torch
        >>> batches = [(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([1, 1]))]
        >>> from rarefy.evaluation import METRICS
        >>> evaluate(nn.Identity(), batches, {"accuracy": METRICS.build("accuracy")})
        {'accuracy': 0.5}
    """
    predictions = predict(model, batches, world=world)
    return {name: metric(predictions) for name, metric in metrics.items()}
