"""Confidence interval of the accuracy."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from rarefy.evaluation._predictions import Predictions
from rarefy.evaluation.metrics._registry import METRICS
from rarefy.statistics import wilson_interval


@METRICS.register("accuracy_interval")
@dataclasses.dataclass(frozen=True)
class AccuracyInterval:
    """Wilson's confidence interval of the accuracy, [low, high] in [0, 1].

    Args:
        confidence: Confidence level, between 0 and 1.
    Raises:
        ValueError: If the confidence is out of range.

    Example:
        >>> import torch
        >>> [round(x, 3) for x in AccuracyInterval()(Predictions(torch.eye(2), torch.tensor([0, 0])))]
        [0.095, 0.905]
    """

    title: ClassVar[str] = "Accuracy, 95% interval"

    confidence: float = 0.95

    def __post_init__(self) -> None:
        """Checks the confidence."""
        wilson_interval(0, 1, self.confidence)

    def __call__(self, predictions: Predictions) -> list[float]:
        """Computes the interval."""
        right = predictions.logits.argmax(1) == predictions.labels
        return wilson_interval(int(right.sum()), len(predictions), self.confidence)
