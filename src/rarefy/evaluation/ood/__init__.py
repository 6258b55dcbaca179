"""Room: images from elsewhere, and whether a model notices. Door: ``scored`` scores them, ``load_ood`` reads them.

One sign everywhere: a higher score means more like the training data.
"""

from rarefy.evaluation.ood._detection import ROC_FPR, detection, roc
from rarefy.evaluation.ood._fit import fit_to
from rarefy.evaluation.ood._registry import SCORES, Score, compute_scores, detect, scored
from rarefy.evaluation.ood._sources import OOD_SOURCES, load_ood, ood_names, require_source
from rarefy.evaluation.ood._view import CannotScore, HasLogits, View

__all__ = [
    "OOD_SOURCES",
    "ROC_FPR",
    "SCORES",
    "CannotScore",
    "HasLogits",
    "Score",
    "View",
    "compute_scores",
    "detect",
    "detection",
    "fit_to",
    "load_ood",
    "ood_names",
    "require_source",
    "roc",
    "scored",
]

SCORES.discover(__name__)
