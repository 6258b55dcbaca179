"""Metrics: pure functions of predictions, one file each."""

from rarefy.evaluation.metrics._registry import METRICS, Metric

__all__ = ["METRICS", "Metric"]

METRICS.discover(__name__)
