"""Room: what a trained model is worth. Door: ``evaluate`` scores a model on a split, predicting once for all metrics."""

from rarefy.evaluation._door import evaluate
from rarefy.evaluation._predictions import Predictions, predict
from rarefy.evaluation.metrics import METRICS, Metric

__all__ = ["METRICS", "Metric", "Predictions", "evaluate", "predict"]
