"""Room: what a trained model is worth. Door: ``evaluate`` scores a model on a split; it predicts once."""

from rarefy.evaluation._door import evaluate
from rarefy.evaluation._predictions import Predictions, predict
from rarefy.evaluation.flops import layer_flops
from rarefy.evaluation.metrics import METRICS, Metric

__all__ = ["METRICS", "Metric", "Predictions", "evaluate", "layer_flops", "predict"]
