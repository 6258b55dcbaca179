"""The Brier score."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from torch.nn import functional

from rarefy.evaluation._predictions import Predictions
from rarefy.evaluation.metrics._bins import probabilities
from rarefy.evaluation.metrics._registry import METRICS


@METRICS.register("brier")
@dataclasses.dataclass(frozen=True)
class Brier:
    """Mean squared distance between the probabilities and the truth (1 for the true class, else 0), in [0, 2].

    It is summed over classes, as Brier did; some divide it by their number, or by 2 where there are two.

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
        """The score; ValueError if a logit is nan or inf."""
        found = probabilities(predictions)
        return float((found - functional.one_hot(predictions.labels, found.shape[1])).square().sum(1).mean())
