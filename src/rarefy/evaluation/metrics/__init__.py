"""Metrics: pure functions of predictions, one per file."""

from rarefy.evaluation.metrics._registry import METRICS, Metric, describe_metric

__all__ = ["METRICS", "Metric", "describe_metric"]

METRICS.discover(__name__)
