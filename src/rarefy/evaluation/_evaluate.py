"""Computes metrics of a model on a split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from rarefy.distributed import SINGLE_PROCESS, World
from rarefy.evaluation._predictions import predict
from rarefy.evaluation.metrics import METRICS, Metric


def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    metrics: Sequence[str | Metric] | Mapping[str, Metric],
    *,
    world: World = SINGLE_PROCESS,
) -> dict[str, Any]:
    """Computes metrics of a model on a split.

    Args:
        model: Maps images to logits; it is used in evaluation mode and not changed.
        batches: (images, labels) of the split, unaugmented.
        metrics: Registered names or values of registered metrics, or a mapping of any names to metrics. The
            predictions are computed once for all of them.
        world: Processes that call this together, each with its part of the batches; all get the values of the whole.

    Returns:
        Values by name of the metric.

    Raises:
        ValueError: If the split is empty.
        UnknownName: If a metric is not registered.

    Example:
        >>> import torch
        >>> batches = [(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([1, 1]))]
        >>> evaluate(nn.Identity(), batches, ["accuracy", "top5"])
        {'accuracy': 0.5, 'top5': 1.0}
    """
    functions = metrics if isinstance(metrics, Mapping) else dict(map(_name_metric, metrics))
    predictions = predict(model, batches, world=world)
    return {name: metric(predictions) for name, metric in functions.items()}


def _name_metric(metric: str | Metric) -> tuple[str, Metric]:
    if isinstance(metric, str):
        return METRICS.name_of(built := METRICS.build(metric)), built
    return METRICS.name_of(metric), metric
