"""Top-5 accuracy."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch

from rarefy.evaluation._predictions import Predictions
from rarefy.evaluation.metrics._registry import METRICS

PLACES = 5


@METRICS.register("top5")
@dataclasses.dataclass(frozen=True)
class Top5:
    """Share of images whose true class has one of the 5 largest logits, in [0, 1]; 1 for a model of up to 5 classes.

    Of equal logits the first classes count, as in ``accuracy``; a logit that is not a number comes before all others.

    Example:
        >>> import torch
        >>> Top5()(Predictions(torch.arange(6.0).expand(6, 6), torch.arange(6))) == 5 / 6
        True
    """

    title: ClassVar[str] = "Top-5 accuracy"
    unit: ClassVar[str] = "fraction"
    higher_is_better: ClassVar[bool] = True

    def __call__(self, predictions: Predictions) -> float:
        """The accuracy."""
        logits, labels = predictions.logits, predictions.labels[:, None]
        truth = logits.gather(1, labels)
        later = torch.arange(logits.shape[1]) > labels
        behind = (logits < truth) | ((logits == truth) & later)
        place = logits.shape[1] - 1 - behind.sum(1)  # counted from what is behind: nan is behind nothing
        return int((place < PLACES).sum()) / len(predictions)
