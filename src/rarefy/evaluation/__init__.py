"""Room: what a trained model is worth. Door: ``evaluate`` scores a model on a split; it predicts once."""

from rarefy.evaluation._evaluate import evaluate
from rarefy.evaluation._predictions import Predictions, predict
from rarefy.evaluation.equivalence import Comparison, Summary, compare, summary
from rarefy.evaluation.flops import layer_flops
from rarefy.evaluation.metrics import METRICS, Metric
from rarefy.evaluation.temperature import fit_temperature, scaled
from rarefy.evaluation.wilson import wilson_interval

__all__ = [
    "METRICS",
    "Comparison",
    "Metric",
    "Predictions",
    "Summary",
    "compare",
    "evaluate",
    "fit_temperature",
    "layer_flops",
    "predict",
    "scaled",
    "summary",
    "wilson_interval",
]
