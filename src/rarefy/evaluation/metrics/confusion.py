"""The confusion matrix."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from rarefy.evaluation._predictions import Predictions
from rarefy.evaluation.metrics._registry import METRICS


@METRICS.register("confusion")
@dataclasses.dataclass(frozen=True)
class Confusion:
    """How many images of each class (row) are taken for each class (column).

    Of equal logits the first class is the guess, as in ``accuracy``.

    Example:
        >>> import torch
        >>> Confusion()(Predictions(torch.eye(2)[[0, 1, 1]], torch.tensor([0, 0, 1])))
        [[1, 1], [0, 1]]
    """

    title: ClassVar[str] = "Confusion matrix"

    def __call__(self, predictions: Predictions) -> list[list[int]]:
        """The counts, ``classes`` lists of ``classes``."""
        classes = predictions.logits.shape[1]
        cells = predictions.labels * classes + predictions.logits.argmax(1)
        counts: list[list[int]] = cells.bincount(minlength=classes**2).view(classes, classes).tolist()
        return counts
