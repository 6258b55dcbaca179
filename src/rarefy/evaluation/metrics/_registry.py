"""Protocol, registry and descriptions of metrics."""

from __future__ import annotations

from typing import Protocol

from rarefy.evaluation._predictions import Predictions
from rarefy.records import MetricInfo
from rarefy.registry import Registry


class Metric(Protocol):
    """Function of predictions; class constants named like the fields of `rarefy.records.MetricInfo` describe it."""

    def __call__(self, predictions: Predictions) -> object:
        """Computes the value, which JSON can hold."""


METRICS: Registry[Metric] = Registry("metric", "metrics")


def describe_metric(name: str) -> MetricInfo:
    """Reads title, unit and role of a registered metric from its class.

    Raises:
        UnknownName: If there is no such metric.
        ValueError: If a constant has a wrong value.

    Example:
        >>> from rarefy.evaluation import describe_metric
        >>> describe_metric("top5").title
        'Top-5 accuracy'
    """
    cls = METRICS.get(name)
    return MetricInfo.model_validate({f: getattr(cls, f) for f in MetricInfo.model_fields if hasattr(cls, f)})
