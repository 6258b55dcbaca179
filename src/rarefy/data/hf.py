"""Images that Hugging Face datasets saved, as arrow or parquet: ``hf:DIR``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy
import torch

from rarefy.data._divide import Part
from rarefy.data._errors import CorruptData
from rarefy.data._files import show_path
from rarefy.data._hugging_face import TableStore, find_tables, read_features, read_tables
from rarefy.data._labels import number_labels
from rarefy.data._load import DATASETS
from rarefy.data._own_pictures import OwnPictures

_KINDS = {"image": ("Image", ("image", "img")), "label": ("ClassLabel", ("label", "labels", "class", "target"))}
_SPLITS = {"": "train", "train": "train", "test": "test"}  # all other names are of validation


@DATASETS.register("hf")
@dataclasses.dataclass(frozen=True)
class HuggingFace(OwnPictures):
    """A data set of images that ``save_to_disk`` or ``to_parquet`` of Hugging Face datasets wrote.

    Splits are found by the names of files and folders: train, validation (val, valid, dev) and test. Pictures are held
    out by the hashes of their contents. Needs pyarrow: ``rarefy[parquet]``.

    Args:
        image: Column of the pictures; empty: the only one of images, or that called image or img.
        label: Column of the classes; empty: the only one of class labels, or that called label, class or target.

    Example:
        >>> DATASETS.build("hf", path="beans", label="labels").name
        'hf:beans'
    """

    image: str = ""
    label: str = ""

    form: ClassVar[str] = "hf:DIR"
    title: ClassVar[str] = "The Hugging Face data set"

    def read(self, place: Path) -> tuple[Mapping[str, Part], tuple[str, ...]]:
        """Reads the tables, and decodes the pictures if they are kept in memory."""
        shown = show_path(place)
        found = find_tables(place)
        by_split = {_SPLITS.get(split, "validation"): split for split in sorted(found)}
        if len(by_split) < len(found):
            names = ", ".join(split or "no name" for split in sorted(found))
            raise CorruptData(
                f"{shown} has tables of {names}, and two of these are one split. Keep one table each of train, "
                "validation and test.",
                path=place,
            )
        tables = {split: read_tables(found[name]) for split, name in by_split.items()}
        if "train" not in tables:
            raise CorruptData(f"{shown} has the splits {', '.join(found)}, and none to train on.", path=place)
        features = read_features(tables["train"], shown)
        image = _find_column("image", self.image, tables["train"], features, shown)
        label = _find_column("label", self.label, tables["train"], features, shown)
        raw = {split: _read_labels(table, label, f"{shown}, {split}") for split, table in tables.items()}
        labels, class_names = number_labels(raw, shown, features.get(label, {}).get("names") or ())
        parts = {}
        for split, table in tables.items():
            store = TableStore(table.column(image), torch.from_numpy(labels[split]), class_names, f"{shown}, {split}")
            parts[split] = self.make_part(store, labels[split], class_names)
        return parts, class_names


def _find_column(kind: str, wanted: str, table: Any, features: Mapping[str, Any], shown: str) -> str:
    """Finds the column of pictures or classes: the wanted one, the only one of its type, or one with a usual name."""
    columns: Sequence[str] = table.column_names
    type_name, usual = _KINDS[kind]
    typed = [name for name in columns if features.get(name, {}).get("_type") == type_name]
    named = [name for name in columns if name.lower() in usual]
    for found in ([wanted] if wanted in columns else [], [] if wanted else typed, [] if wanted else named):
        if len(found) == 1:
            return found[0]
    what = "pictures" if kind == "image" else "classes"
    said = f"{wanted!r} is none of them" if wanted else f"which one holds the {what} is not clear"
    raise CorruptData(f"{shown} has the columns {', '.join(columns)}; {said}. Name it: --set data.{kind}=COLUMN")


def _read_labels(table: Any, name: str, shown: str) -> numpy.ndarray:
    column = table.column(name) if name in table.column_names else None
    if column is None or column.null_count:
        said = "no column" if column is None else f"{column.null_count} rows without a value in the column"
        raise CorruptData(f"{shown} has {said} {name!r} of classes.")
    values = numpy.asarray(column.to_pylist())
    if values.dtype.kind in "iu" and values.min(initial=0) < 0:
        raise CorruptData(f"{shown} has labels below 0, which stand for none: take a split that is labelled.")
    return values
