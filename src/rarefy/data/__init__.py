"""Room: data. Door: ``load(DATASETS.build("cifar10"), directory, generator)`` -> ``Splits``.

A data set is a train, a validation and a test split: uint8 images in memory (`Split`), or encoded pictures that workers
decode as they are asked for (`Streamed`). ``Batches`` iterates over either, augmented and normalised where the images
are (CPU or GPU); an epoch is a function of (streams, epoch).
"""

from rarefy.data._balanced import balanced, first, spaced
from rarefy.data._batches import Batches
from rarefy.data._door import DATASETS, Dataset, load
from rarefy.data._pictures import ResizedCrop
from rarefy.data._source import CorruptData, MissingData
from rarefy.data._splits import Augment, Spec, Split, Splits
from rarefy.data._streamed import AnySplit, Streamed
from rarefy.data._unpack import unpack

__all__ = [
    "DATASETS",
    "AnySplit",
    "Augment",
    "Batches",
    "CorruptData",
    "Dataset",
    "MissingData",
    "ResizedCrop",
    "Spec",
    "Split",
    "Splits",
    "Streamed",
    "balanced",
    "first",
    "load",
    "spaced",
    "unpack",
]

DATASETS.discover(__name__)
