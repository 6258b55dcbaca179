"""ImageNet, or any data set in its layouts: photographs of any size in class folders, tar shards or parquet files."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from rarefy.data._errors import CorruptData, MissingData
from rarefy.data._hold_out import hash_name, hold_out, pack_hashes
from rarefy.data._load import DATASETS
from rarefy.data._parquet import ParquetStore
from rarefy.data._pictures import ResizedCrop
from rarefy.data._spec import Spec
from rarefy.data._splits import Splits
from rarefy.data._store import Store, open_store
from rarefy.data._streamed import StreamedSplit
from rarefy.errors import InvalidInput

_LOG = logging.getLogger("rarefy")
_FEW_CLASSES = 1000  # this many outputs cost little, even if most classes have no picture
_UNPACK = (
    "A picture in parquet is read with all of its row group, which is slow in random order. "
    "`rarefy unpack DIR NEW` once, and the same run from NEW is quick."
)
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@DATASETS.register("imagenet")
@dataclasses.dataclass(frozen=True)
class ImageNet:
    """ImageNet in ``DIR`` or ``DIR/imagenet``, decoded while training.

    Three layouts are known: class folders (``train/n01440764/*.JPEG``, ``val/...``), WebDataset shards
    (``train/*.tar`` or ``*train*.tar``, and ``val``) and Hugging Face parquet (``data/train-*.parquet``,
    ``data/validation-*.parquet``). Training pictures are seen through `ResizedCrop`, others resized to 256 and cropped
    in the middle to 224, or in that proportion to another resolution.

    The official validation pictures are the *test* split. Validation pictures are held out of the training pictures,
    of each class those whose names have the smallest hash, whatever the seed: choices are never made on what is
    reported.

    Args:
        resolution: Pixels of a side of the square that a model sees.
        valid_split: Fraction of the training pictures of each class that is held out, at least one.
        skip_bad_images: Skip pictures that cannot be decoded, naming and counting them, instead of stopping. In
            training the next picture takes their place; in validation and test they are left out.

    Raises:
        ValueError: If an option is out of range.

    Example:
        >>> DATASETS.build("imagenet", resolution=64)
        ImageNet(resolution=64, valid_split=0.01, skip_bad_images=False)

    References:
        Russakovsky et al., 2015, ImageNet Large Scale Visual Recognition Challenge, arXiv:1409.0575.
    """

    title: ClassVar[str] = "ImageNet"
    resolution: int = 224
    valid_split: float = 0.01
    skip_bad_images: bool = False

    def __post_init__(self) -> None:
        """Checks the options' ranges."""
        if self.resolution < 1:
            raise InvalidInput(
                f"resolution must be at least 1, got {self.resolution}", name="resolution", value=self.resolution
            )
        if not 0 < self.valid_split < 1:
            raise InvalidInput(
                f"valid_split lies between 0 and 1, got {self.valid_split}", name="valid_split", value=self.valid_split
            )

    def __call__(self, directory: Path, generator: torch.Generator) -> Splits:
        """Lists the files; draws nothing from ``generator``."""
        train, test = _find_stores(directory)
        classes = len(train.class_names) or int(train.labels.max()) + 1
        _check_classes(train, test, classes)
        if isinstance(train, ParquetStore):
            _LOG.info("%s", _UNPACK, extra={"shown": True})
        hashes = pack_hashes((hash_name(train.key(number)) for number in range(len(train.labels))), len(train.labels))
        kept, held_out = hold_out(train.labels.numpy(), hashes, [self.valid_split])
        size = (self.resolution, self.resolution)
        spec = Spec("imagenet", classes, 3, *size, _MEAN, _STD, train.class_names, resize="crop")
        return Splits(
            train=self._split(train, kept),
            validation=self._split(train, held_out),
            test=self._split(test, torch.arange(len(test.labels))),
            spec=spec,
            augment=ResizedCrop(),
        )

    def _split(self, store: Store, numbers: Tensor) -> StreamedSplit:
        return StreamedSplit(store, numbers, self.resolution, self.skip_bad_images)


def _find_stores(directory: Path) -> tuple[Store, Store]:
    """Finds the training and the official validation pictures."""
    folders = [(directory / name).absolute() for name in ("", "imagenet")]
    looked = []
    for path in folders:
        train, test = open_store(path, "train"), open_store(path, "val", "validation")
        if train and test:
            return train, test
        looked.append(f"{path} ({_describe_missing(path, train, test)})")
    raise MissingData(
        f"ImageNet was not found. Looked in: {'; '.join(looked)}. Download it (https://image-net.org, or its copies as "
        "WebDataset or parquet), so that DIR holds train and val as class folders, train/*.tar and val/*.tar, or "
        "data/train-*.parquet and data/validation-*.parquet, and pass --data-dir DIR. Pictures of your own in class "
        "folders are another data set: --data folder:DIR."
    )


def _describe_missing(path: Path, train: Store | None, test: Store | None) -> str:
    if not path.is_dir():
        return "no such folder"
    return f"without {' and '.join(name for name, store in (('train', train), ('val', test)) if store is None)}"


def _check_classes(train: Store, test: Store, classes: int) -> None:
    """Raises CorruptData if the two parts number their classes differently, or there are more classes than pictures."""
    if train.class_names != test.class_names:
        odd = sorted(set(train.class_names) ^ set(test.class_names))
        raise CorruptData(
            f"train and val must have the same classes; {', '.join(odd[:3])} is in one only ({len(train.class_names)} "
            f"classes in train, {len(test.class_names)} in val, {len(odd)} in one only). In class folders, the folders "
            "right below train and val are the classes; pictures may lie deeper."
        )
    if classes > max(_FEW_CLASSES, len(train.labels)):
        worst = int(train.labels.argmax())
        raise CorruptData(
            f"{train.place(worst)} is of class {classes - 1}, and there are {len(train.labels)} training pictures: "
            "classes are numbered from 0 without gaps."
        )
    for store in (train, test):
        if int(store.labels.max()) >= classes:
            worst = int(store.labels.argmax())
            raise CorruptData(f"{store.place(worst)} is of class {int(store.labels.max())}; there are {classes}.")
