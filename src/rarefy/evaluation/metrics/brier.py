"""The Brier score."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from torch.nn import functional

from rarefy.evaluation._predictions import Predictions
from rarefy.evaluation.metrics._bins import compute_probabilities
from rarefy.evaluation.metrics._registry import METRICS


@METRICS.register("brier")
@dataclasses.dataclass(frozen=True)
class Brier:
    """Mean squared distance between the probabilities and the one-hot label, in [0, 2].

    It is summed over classes, as Brier did; some libraries divide it by the number of classes, or by 2 for two.

    Example:
        >>> import torch
        >>> Brier()(Predictions(torch.zeros(1, 2), torch.tensor([0])))
        0.5

    References:
        Brier, 1950, Monthly Weather Review 78(1).
    """

    title: ClassVar[str] = "Brier score"
    higher_is_better: ClassVar[bool] = False
    is_headline: ClassVar[bool] = True
    uses_confidence: ClassVar[bool] = True

    def __call__(self, predictions: Predictions) -> float:
        """Computes the score; raises ValueError if a logit is nan or inf."""
        values = compute_probabilities(predictions)
        return float((values - functional.one_hot(predictions.labels, values.shape[1])).square().sum(1).mean())
