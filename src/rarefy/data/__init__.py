"""Room: data. Door: ``load(DATASETS.build("cifar10"), directory, generator)`` -> ``Splits``.

A data set is a train, a validation and a test split: uint8 images in memory (`Split`), or encoded pictures that workers
decode as they are asked for (`Streamed`). ``Batches`` iterates over either, augmented and normalised where the images
are (CPU or GPU); an epoch is a function of (streams, epoch).
"""

from rarefy.data._arrays import array_names, map_array, read_array
from rarefy.data._balanced import balanced, first, space_out, spaced
from rarefy.data._batches import Batches
from rarefy.data._decode import ENDINGS, read_picture
from rarefy.data._describe import describe_splits
from rarefy.data._errors import BadPicture, CorruptData, MissingData
from rarefy.data._files import show_path
from rarefy.data._listing import describe_left_out, list_pictures
from rarefy.data._load import DATASETS, Dataset, load
from rarefy.data._pictures import ResizedCrop
from rarefy.data._spec import Spec
from rarefy.data._split import Augment, Split
from rarefy.data._splits import Splits
from rarefy.data._streamed import AnySplit, DecoderLost, Streamed, require_decoders
from rarefy.data._unpack import unpack

__all__ = [
    "DATASETS",
    "ENDINGS",
    "AnySplit",
    "Augment",
    "BadPicture",
    "Batches",
    "CorruptData",
    "Dataset",
    "DecoderLost",
    "MissingData",
    "ResizedCrop",
    "Spec",
    "Split",
    "Splits",
    "Streamed",
    "array_names",
    "balanced",
    "describe_left_out",
    "describe_splits",
    "first",
    "list_pictures",
    "load",
    "map_array",
    "read_array",
    "read_picture",
    "require_decoders",
    "show_path",
    "space_out",
    "spaced",
    "unpack",
]

DATASETS.discover(__name__)
