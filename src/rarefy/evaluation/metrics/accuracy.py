"""Top-1 accuracy."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from rarefy.evaluation._predictions import Predictions
from rarefy.evaluation.metrics._registry import METRICS


@METRICS.register("accuracy")
@dataclasses.dataclass(frozen=True)
class Accuracy:
    """Fraction of images whose largest logit is that of the true class; of equal logits the first counts.

    Example:
        >>> import torch
        >>> Accuracy()(Predictions(torch.tensor([[0.0, 1.0], [2.0, 1.0]]), torch.tensor([1, 1])))
        0.5
    """

    title: ClassVar[str] = "Accuracy"
    unit: ClassVar[str] = "fraction"
    higher_is_better: ClassVar[bool] = True
    is_headline: ClassVar[bool] = True

    def __call__(self, predictions: Predictions) -> float:
        """Computes the accuracy."""
        right = predictions.logits.argmax(1) == predictions.labels
        return int(right.sum()) / len(predictions)
