"""Pictures in parquet files as Hugging Face's hub has them: a column ``image`` of bytes, a column ``label``."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path

import numpy
import torch
from torch import Tensor

from rarefy.data._decode import MOST_BYTES
from rarefy.data._errors import BadPicture
from rarefy.data._files import show_path
from rarefy.data._table import read_class_names, read_column, read_labels

_KEPT = 2  # row groups of pictures that a process keeps: enough for pictures in order


@dataclasses.dataclass(frozen=True, eq=False)
class ParquetStore:
    """Parquet files, such as ``data/train-00000-of-00294.parquet``; read with pyarrow.

    A picture is read with its whole row group, some hundred pictures on the hub, of which a process keeps the last two:
    pictures in order are quick, in random order they are not, see `unpack`.

    Args:
        files: The files, in the order of their names.
        starts: int64 [F + 1]: number of each file's first picture, and of pictures in all.
        groups: int64 [G, 3]: number of the file, of the row group in it, and of the group's first picture.
        labels: int64 [N].
        class_names: As the files' own metadata have them; empty without.
        left_out: Nothing: a row is a picture.
    """

    files: tuple[Path, ...]
    starts: numpy.ndarray
    groups: numpy.ndarray
    labels: Tensor
    class_names: tuple[str, ...]
    left_out: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path, name: str) -> ParquetStore | None:
        """Reads the labels in ``[data/]name*.parquet`` or ``name/*.parquet``; None if there is no such file."""
        patterns = (f"data/{name}-*.parquet", f"{name}*.parquet", f"{name}/*.parquet")
        files = sorted(file for pattern in patterns for file in folder.glob(pattern))
        files = [file for file in files if not file.name.startswith(".")]
        if not files:
            return None
        groups: list[tuple[int, int, int]] = []
        labels: list[numpy.ndarray] = []
        starts = [0]
        for number, file in enumerate(files):
            sizes, found = read_labels(file)
            groups += [(number, group, starts[-1] + sum(sizes[:group])) for group in range(len(sizes))]
            labels.append(found)
            starts.append(starts[-1] + len(found))
        joined = torch.from_numpy(numpy.concatenate(labels))
        return cls(tuple(files), numpy.array(starts), numpy.array(groups), joined, read_class_names(files[0]))

    def key(self, number: int) -> str:
        """The file's name and the row in it, such as ``train-00000-of-00294_000017``."""
        file = self._find(number)[0]
        return f"{self.files[file].stem}_{number - self.starts[file]:06}"

    def place(self, number: int) -> str:
        """The file, and the row group and row in it."""
        file, group, row = self._find(number)
        return f"{show_path(self.files[file])} (row {row} of row group {group})"

    def read(self, number: int) -> bytes:
        """The picture's bytes; raises BadPicture for a row that has none."""
        file, group, row = self._find(number)
        image = _read_group(self.files[file], group)[row].as_py()
        content = image.get("bytes") if isinstance(image, dict) else image
        if not isinstance(content, bytes):
            named = image.get("path") if isinstance(image, dict) else None
            raise BadPicture(f"the row has no bytes{f', only the path {named!r}' if named else ''}")
        if len(content) > MOST_BYTES:
            raise BadPicture(f"it has {len(content):,} bytes; at most {MOST_BYTES:,} are read")
        return content

    def rows(self, file: int) -> range:
        """Numbers of a file's pictures."""
        return range(*self.starts[file : file + 2].tolist())

    def _find(self, number: int) -> tuple[int, int, int]:
        at = int(numpy.searchsorted(self.groups[:, 2], number, side="right")) - 1
        file, group, first = self.groups[at].tolist()
        return file, group, number - first


_read_group = functools.lru_cache(maxsize=_KEPT)(read_column)
