"""Measures finished runs again: what `rarefy eval` does."""

from rarefy.pipeline._evaluate._evaluate_runs import Progress, evaluate_runs
from rarefy.pipeline._evaluate._options import EvaluationOptions

__all__ = ["EvaluationOptions", "Progress", "evaluate_runs"]
