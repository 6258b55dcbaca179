"""Accuracy by class."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from rarefy.evaluation._predictions import Predictions
from rarefy.evaluation.metrics._registry import METRICS
from rarefy.statistics import wilson_interval


@METRICS.register("per_class")
@dataclasses.dataclass(frozen=True)
class PerClass:
    """Fraction of each class's images that are classified correctly (recall), with Wilson's 95% interval.

    Example:
        >>> import torch
        >>> result = PerClass()(Predictions(torch.eye(3)[[0, 1, 1]], torch.tensor([0, 0, 1])))
        >>> result["images"], result["accuracy"]
        ([2, 1, 0], [0.5, 1.0, None])
    """

    title: ClassVar[str] = "Accuracy by class"

    def __call__(self, predictions: Predictions) -> dict[str, list[object]]:
        """Computes ``images``, ``accuracy`` and ``interval`` by class; None in a class without images."""
        labels, classes = predictions.labels, predictions.logits.shape[1]
        images = labels.bincount(minlength=classes).tolist()
        right = labels[predictions.logits.argmax(1) == labels].bincount(minlength=classes).tolist()
        pairs = list(zip(right, images, strict=True))
        return {
            "images": images,
            "accuracy": [hits / total if total else None for hits, total in pairs],
            "interval": [wilson_interval(hits, total) if total else None for hits, total in pairs],
        }
