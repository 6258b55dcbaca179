"""Pictures in parquet files as Hugging Face's hub has them: a column ``image`` of bytes, a column ``label``."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import json
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from rarefy.data._source import CorruptData
from rarefy.errors import MissingPackage

_KEPT = 2  # row groups of pictures that a process keeps: enough for pictures in order


@dataclasses.dataclass(frozen=True, eq=False)
class Parquet:
    """Parquet files, such as ``data/train-00000-of-00294.parquet``; read with pyarrow.

    A picture is read with its whole row group, some hundred pictures on the hub, of which a process keeps the last two:
    pictures in order are quick, in random order they are not, see `unpack`.

    Args:
        files: The files, in the order of their names.
        starts: int64 [F + 1]: number of each file's first picture, and of pictures in all.
        groups: int64 [G, 3]: number of the file, of the row group in it, and of the group's first picture.
        labels: int64 [N].
        class_names: As the files' own metadata have them; empty without.
    """

    files: tuple[Path, ...]
    starts: numpy.ndarray
    groups: numpy.ndarray
    labels: Tensor
    class_names: tuple[str, ...]

    @classmethod
    def open(cls, folder: Path, name: str) -> Parquet | None:
        """Reads the labels in ``[data/]name*.parquet`` or ``name/*.parquet``; None if there is no such file."""
        patterns = (f"data/{name}-*.parquet", f"{name}*.parquet", f"{name}/*.parquet")
        files = sorted(file for pattern in patterns for file in folder.glob(pattern))
        if not files:
            return None
        groups: list[tuple[int, int, int]] = []
        labels: list[numpy.ndarray] = []
        starts = [0]
        for number, file in enumerate(files):
            sizes, found = _opened(file)
            groups += [(number, group, starts[-1] + sum(sizes[:group])) for group in range(len(sizes))]
            labels.append(found)
            starts.append(starts[-1] + len(found))
        joined = torch.from_numpy(numpy.concatenate(labels))
        return cls(tuple(files), numpy.array(starts), numpy.array(groups), joined, _class_names(files[0]))

    def key(self, number: int) -> str:
        """The file's name and the row in it, such as ``train-00000-of-00294_000017``."""
        file = self._find(number)[0]
        return f"{self.files[file].stem}_{number - self.starts[file]:06}"

    def place(self, number: int) -> str:
        """The file, and the row group and row in it."""
        file, group, row = self._find(number)
        return f"{self.files[file]} (row {row} of row group {group})"

    def read(self, number: int) -> bytes:
        """The picture's bytes."""
        file, group, row = self._find(number)
        image = _pictures(self.files[file], group)[row].as_py()
        content: bytes = image["bytes"] if isinstance(image, dict) else image
        return content

    def rows(self, file: int) -> range:
        """Numbers of a file's pictures."""
        return range(*self.starts[file : file + 2].tolist())

    def _find(self, number: int) -> tuple[int, int, int]:
        at = int(numpy.searchsorted(self.groups[:, 2], number, side="right")) - 1
        file, group, first = self.groups[at].tolist()
        return file, group, number - first


def _pyarrow() -> Any:
    try:
        return importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingPackage(
            f"parquet files need `pip install rarefy[parquet]` ({error})", package="pyarrow", extra="parquet"
        ) from error


def _opened(file: Path) -> tuple[list[int], numpy.ndarray]:
    """Rows of each row group, and all labels."""
    parquet = _pyarrow()
    try:
        opened = parquet.ParquetFile(file)
        labels = opened.read(columns=["label"], use_threads=False).column("label").to_numpy().astype(numpy.int64)
        opened.schema_arrow.field("image")
    except (ValueError, KeyError, OSError) as error:
        raise CorruptData(f"{file} is no parquet file with the columns image and label: {error}.") from error
    if labels.min(initial=0) < 0:
        raise CorruptData(f"{file} has labels below 0, which stand for none: take a split that is labelled.")
    return [opened.metadata.row_group(group).num_rows for group in range(opened.num_row_groups)], labels


def _class_names(file: Path) -> tuple[str, ...]:
    metadata = _pyarrow().read_schema(file).metadata or {}
    features = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    return tuple(features.get("label", {}).get("names", ()))


@functools.lru_cache(maxsize=_KEPT)
def _pictures(file: Path, group: int) -> Any:
    """A row group's column of pictures; raises OSError if it cannot be read, as for a file that is gone."""
    try:
        return _pyarrow().ParquetFile(file).read_row_group(group, columns=["image"], use_threads=False).column("image")
    except ValueError as error:
        raise OSError(f"row group {group} does not unpack: {error}") from error
