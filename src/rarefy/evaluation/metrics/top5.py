"""Top-5 accuracy."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch

from rarefy.evaluation._predictions import Predictions
from rarefy.evaluation.metrics._registry import METRICS

TOP = 5


@METRICS.register("top5")
@dataclasses.dataclass(frozen=True)
class Top5:
    """Fraction of images whose true class has one of the 5 largest logits; 1 for a model of up to 5 classes.

    Of equal logits the first classes count, as in ``accuracy``; NaN counts as larger than all numbers.

    Example:
        >>> import torch
        >>> Top5()(Predictions(torch.arange(6.0).expand(6, 6), torch.arange(6))) == 5 / 6
        True
    """

    title: ClassVar[str] = "Top-5 accuracy"
    unit: ClassVar[str] = "fraction"
    higher_is_better: ClassVar[bool] = True

    def __call__(self, predictions: Predictions) -> float:
        """Computes the accuracy."""
        logits, labels = predictions.logits, predictions.labels[:, None]
        truth = logits.gather(1, labels)
        later = torch.arange(logits.shape[1]) > labels
        behind = (logits < truth) | ((logits == truth) & later)
        rank = logits.shape[1] - 1 - behind.sum(1)  # NaN is behind nothing
        return int((rank < TOP).sum()) / len(predictions)
