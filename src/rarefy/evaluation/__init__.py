"""Evaluates trained models: ``evaluate`` computes metrics of a split from one pass of predictions."""

from rarefy.evaluation._evaluate import evaluate
from rarefy.evaluation._predictions import Predictions, predict
from rarefy.evaluation.flops import count_layer_flops
from rarefy.evaluation.metrics import METRICS, Metric, describe_metric
from rarefy.evaluation.temperature import fit_temperature, scale_logits
from rarefy.statistics import Comparison, Summary, compare_groups, summarize, wilson_interval

__all__ = [
    "METRICS",
    "Comparison",
    "Metric",
    "Predictions",
    "Summary",
    "compare_groups",
    "count_layer_flops",
    "describe_metric",
    "evaluate",
    "fit_temperature",
    "predict",
    "scale_logits",
    "summarize",
    "wilson_interval",
]
