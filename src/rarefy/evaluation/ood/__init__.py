"""Room: images from elsewhere, and whether a model notices. Door: ``detect`` scores them, ``load_ood`` reads them.

One sign everywhere: a higher score means more like the training data.
"""

from rarefy.evaluation.ood._detection import detection
from rarefy.evaluation.ood._door import SCORES, Score, detect
from rarefy.evaluation.ood._fit import fit_to
from rarefy.evaluation.ood._sources import OOD_SOURCES, load_ood, ood_names
from rarefy.evaluation.ood._view import HasLogits, View

__all__ = [
    "OOD_SOURCES",
    "SCORES",
    "HasLogits",
    "Score",
    "View",
    "detect",
    "detection",
    "fit_to",
    "load_ood",
    "ood_names",
]

SCORES.discover(__name__)
