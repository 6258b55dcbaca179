"""Room: the corruptions of CIFAR-10-C. Door: ``corruption_errors`` of a model on what ``corrupted`` makes.

Where the official files are absent the images are made anew and called "regenerated": same kinds, same published
strengths, other random numbers and other code for a few filters, so that numbers are near the official ones, not equal.
"""

from rarefy.evaluation.corruptions._official import load_official
from rarefy.evaluation.corruptions._registry import (
    COMMON,
    CORRUPTIONS,
    EXTRA,
    SEVERITIES,
    Variant,
    corrupt,
    corrupted,
    corruption_errors,
    mean_corruption_error,
)

__all__ = [
    "COMMON",
    "CORRUPTIONS",
    "EXTRA",
    "SEVERITIES",
    "Variant",
    "corrupt",
    "corrupted",
    "corruption_errors",
    "load_official",
    "mean_corruption_error",
]
