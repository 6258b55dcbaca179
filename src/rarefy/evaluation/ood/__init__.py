"""Out-of-distribution detection: ``load_ood`` reads images, ``score_splits`` scores them, ``detect_ood`` measures both.

For every score, higher means more like the training data.
"""

from rarefy.evaluation.ood._detection import ROC_FPR, compute_roc, measure_detection
from rarefy.evaluation.ood._registry import SCORES, Score, compute_scores, detect_ood, score_splits
from rarefy.evaluation.ood._sources import OOD_SOURCES, load_ood, parse_sources, require_source
from rarefy.evaluation.ood._view import CannotScore, HasLogits, View

__all__ = [
    "OOD_SOURCES",
    "ROC_FPR",
    "SCORES",
    "CannotScore",
    "HasLogits",
    "Score",
    "View",
    "compute_roc",
    "compute_scores",
    "detect_ood",
    "load_ood",
    "measure_detection",
    "parse_sources",
    "require_source",
    "score_splits",
]

SCORES.discover(__name__)
