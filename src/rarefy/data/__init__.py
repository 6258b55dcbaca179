"""Data sets as train, validation and test splits: ``load(DATASETS.build("cifar10"), directory, generator)``.

A split holds uint8 images in memory (`Split`), or encoded pictures that worker processes decode when they are needed
(`StreamedSplit`). ``Batches`` iterates over either, and augments and normalises on the images' device (CPU or GPU). An
epoch is a function of (streams, epoch).
"""

from rarefy.data._arrays import list_arrays, map_array, read_array
from rarefy.data._balanced import draw_balanced, space_indices, take_first, take_spaced
from rarefy.data._batches import Batches
from rarefy.data._collect import collect_splits
from rarefy.data._decode import ENDINGS, read_picture
from rarefy.data._describe import describe_splits
from rarefy.data._errors import BadPicture, CorruptData, MissingData
from rarefy.data._files import open_file, show_path
from rarefy.data._fit import fit_images, fit_picture
from rarefy.data._image_arrays import read_image_array, split_array_key
from rarefy.data._listing import describe_left_out, list_pictures
from rarefy.data._load import DATASETS, Dataset, load, parse, read_settings
from rarefy.data._pictures import ResizedCrop
from rarefy.data._spec import Spec
from rarefy.data._split import Augment, Split
from rarefy.data._splits import Splits
from rarefy.data._streamed import AnySplit, DecoderLost, StreamedSplit, require_decoders
from rarefy.data._unpack import unpack_parquet
from rarefy.data.csv import read_columns
from rarefy.data.given import Given

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
    "Given",
    "MissingData",
    "ResizedCrop",
    "Spec",
    "Split",
    "Splits",
    "StreamedSplit",
    "collect_splits",
    "describe_left_out",
    "describe_splits",
    "draw_balanced",
    "fit_images",
    "fit_picture",
    "list_arrays",
    "list_pictures",
    "load",
    "map_array",
    "open_file",
    "parse",
    "read_array",
    "read_columns",
    "read_image_array",
    "read_picture",
    "read_settings",
    "require_decoders",
    "show_path",
    "space_indices",
    "split_array_key",
    "take_first",
    "take_spaced",
    "unpack_parquet",
]

DATASETS.discover(__name__)
