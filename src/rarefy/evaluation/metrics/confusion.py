"""The confusion matrix."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from rarefy.evaluation._predictions import Predictions
from rarefy.evaluation.metrics._registry import METRICS


@METRICS.register("confusion")
@dataclasses.dataclass(frozen=True)
class Confusion:
    """Numbers of images by true class (row) and predicted class (column).

    Of equal logits the first class is the prediction, as in ``accuracy``.

    Example:
        >>> import torch
        >>> Confusion()(Predictions(torch.eye(2)[[0, 1, 1]], torch.tensor([0, 0, 1])))
        [[1, 1], [0, 1]]
    """

    title: ClassVar[str] = "Confusion matrix"

    def __call__(self, predictions: Predictions) -> list[list[int]]:
        """Computes the counts: ``classes`` lists of ``classes``."""
        classes = predictions.logits.shape[1]
        cells = predictions.labels * classes + predictions.logits.argmax(1)
        counts: list[list[int]] = cells.bincount(minlength=classes**2).view(classes, classes).tolist()
        return counts
