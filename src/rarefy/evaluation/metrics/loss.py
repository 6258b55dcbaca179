"""Cross-entropy."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from torch.nn import functional

from rarefy.evaluation._predictions import Predictions
from rarefy.evaluation.metrics._registry import METRICS


@METRICS.register("loss")
@dataclasses.dataclass(frozen=True)
class Loss:
    """Mean cross-entropy in nats (negative log-likelihood), computed in float64.

    Example:
        >>> import torch
        >>> round(Loss()(Predictions(torch.zeros(1, 10), torch.tensor([3]))), 4)  # log(10)
        2.3026
    """

    title: ClassVar[str] = "NLL"
    unit: ClassVar[str] = "nats"
    higher_is_better: ClassVar[bool] = False
    is_headline: ClassVar[bool] = True
    uses_confidence: ClassVar[bool] = True

    def __call__(self, predictions: Predictions) -> float:
        """Computes the loss."""
        return functional.cross_entropy(predictions.logits.double(), predictions.labels).item()
