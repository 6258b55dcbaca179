"""Room: data. Door: ``load(DATASETS.build("cifar10"), directory, generator)`` -> ``Splits``.

A data set is a train, a validation and a test split of uint8 images in memory. ``Batches`` iterates over a split: it
augments and normalises whole batches where the images are (CPU or GPU); an epoch is a function of (streams, epoch).
"""

from rarefy.data._balanced import balanced, spaced
from rarefy.data._batches import Batches
from rarefy.data._door import DATASETS, Dataset, load
from rarefy.data._source import CorruptData, MissingData
from rarefy.data._splits import Augment, Spec, Split, Splits

__all__ = [
    "DATASETS",
    "Augment",
    "Batches",
    "CorruptData",
    "Dataset",
    "MissingData",
    "Spec",
    "Split",
    "Splits",
    "balanced",
    "load",
    "spaced",
]

DATASETS.discover(__name__)
