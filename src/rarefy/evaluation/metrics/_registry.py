"""What a metric is."""

from __future__ import annotations

from typing import Protocol

from rarefy.evaluation._predictions import Predictions
from rarefy.registry import Registry


class Metric(Protocol):
    """A number, or a mapping of numbers, from predictions."""

    def __call__(self, predictions: Predictions) -> object:
        """The value; JSON can hold it."""


METRICS: Registry[Metric] = Registry("metric", "metrics")
