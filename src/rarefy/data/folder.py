"""Pictures of yours in one folder per class: ``folder:DIR``."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy

from rarefy.data._divide import Part
from rarefy.data._errors import CorruptData, MissingData
from rarefy.data._files import show_path
from rarefy.data._folders import FolderStore
from rarefy.data._labels import number_labels
from rarefy.data._listing import describe_left_out, is_folder, is_hidden, scan_folder
from rarefy.data._load import DATASETS
from rarefy.data._own_pictures import OwnPictures

_LOG = logging.getLogger("rarefy")
SPLIT_FOLDERS = {"train": ("train",), "validation": ("val", "valid", "validation"), "test": ("test",)}


@DATASETS.register("folder")
@dataclasses.dataclass(frozen=True)
class Folder(OwnPictures):
    """``DIR/cat/1.jpg``: classes are folders; or ``DIR/train/cat/1.jpg``, with ``val`` and ``test`` if there are any.

    A class's pictures may lie in folders below its own. Pictures are held out by the hashes of their names, so that a
    picture stays in its split when others are added.

    Example:
        >>> import tempfile, torch
        >>> from PIL import Image
        >>> folder = Path(tempfile.mkdtemp())
        >>> for number in range(12):
        ...     (folder / ("cat", "dog")[number % 2]).mkdir(exist_ok=True)
        ...     Image.new("RGB", (4, 4), (number, 0, 0)).save(folder / ("cat", "dog")[number % 2] / f"{number}.png")
        >>> splits = Folder(str(folder))(Path("unused"), torch.Generator())
        >>> len(splits.train), len(splits.validation), len(splits.test), splits.spec.class_names
        (8, 2, 2, ('cat', 'dog'))
    """

    form: ClassVar[str] = "folder:DIR"
    title: ClassVar[str] = "The folder of pictures"

    def read(self, place: Path) -> tuple[Mapping[str, Part], tuple[str, ...]]:
        """Lists the pictures, and decodes them if they are kept in memory."""
        stores = _open_stores(place)
        texts = {split: numpy.array(store.class_names)[store.labels.numpy()] for split, store in stores.items()}
        labels, class_names = number_labels(texts, show_path(place))
        return {
            split: self.make_part(store, labels[split], class_names) for split, store in stores.items()
        }, class_names


def _open_stores(place: Path) -> dict[str, FolderStore]:
    """Lists the pictures of each split that has a folder; raises CorruptData or MissingData if there are none."""
    shown = show_path(place)
    if not place.is_dir():
        raise CorruptData(f"{shown} is a file; folder:DIR is a folder that holds one folder per class.", path=place)
    folders = [entry.name for entry in scan_folder(place) if not is_hidden(entry.name) and is_folder(entry)]
    named = _find_splits(place, folders)
    found = {split: FolderStore.open(place, name) for split, name in named.items()}
    stores = {split: store for split, store in found.items() if store is not None}
    if "train" not in stores:
        found_there = f", only {', '.join(folders)}" if folders else ""
        raise MissingData(
            f"{shown} holds no class folders{found_there}. Sort the pictures into one folder per class: "
            f"{shown}/cat/1.jpg, {shown}/dog/2.jpg; or {shown}/train/cat/1.jpg, with val and test next to train.",
            path=place,
        )
    for split, store in stores.items():
        if store.left_out:
            _LOG.warning("left out of %s: %s", named[split] or shown, describe_left_out(store.left_out))
    return stores


def _find_splits(place: Path, folders: list[str]) -> dict[str, str]:
    """Finds the folder of each split; without one for training, the folder's own folders are classes."""
    by_name = {name.lower(): name for name in folders}
    named = {split: by_name[name] for split, names in SPLIT_FOLDERS.items() for name in names if name in by_name}
    if "train" not in named or not any(is_folder(entry) for entry in scan_folder(place / named["train"])):
        return {"train": ""}
    if ignored := sorted(set(folders) - set(named.values())):
        _LOG.warning("left out: %s, next to %s", ", ".join(map(show_path, ignored)), named["train"])
    return named
