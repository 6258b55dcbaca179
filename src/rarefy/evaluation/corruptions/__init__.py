"""Corruptions of CIFAR-10-C: ``compute_corruption_errors`` of a model on the images of ``iterate_corruptions``.

Without the official files the images are "regenerated": the same kinds of corruption at the published strengths, with
other random numbers and, for a few filters, other code, so that errors are close to the official ones, not equal.
"""

from rarefy.evaluation.corruptions._official import load_official
from rarefy.evaluation.corruptions._registry import (
    COMMON,
    CORRUPTIONS,
    EXTRA,
    SEVERITIES,
    Variant,
    compute_corruption_errors,
    compute_mean_corruption_error,
    corrupt,
    iterate_corruptions,
)

__all__ = [
    "COMMON",
    "CORRUPTIONS",
    "EXTRA",
    "SEVERITIES",
    "Variant",
    "compute_corruption_errors",
    "compute_mean_corruption_error",
    "corrupt",
    "iterate_corruptions",
    "load_official",
]
