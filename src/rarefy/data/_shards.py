"""Pictures in tar files as WebDataset writes them: ``<key>.jpg`` and ``<key>.cls``."""

from __future__ import annotations

import dataclasses
import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy
import torch
from torch import Tensor

from rarefy.data._decode import MOST_BYTES
from rarefy.data._errors import BadPicture, CorruptData
from rarefy.data._files import open_file, read_file, show_path
from rarefy.data._index import IndexArrays, load_index
from rarefy.data._names import PackedNames
from rarefy.data._tar import list_shard

CLASSES = "classes.txt"
_CLASSES_BYTES = 1 << 26


@dataclasses.dataclass(frozen=True, eq=False)
class TarStore:
    """Uncompressed tar files, each picture read in place: random order is as fast as any other.

    Args:
        files: The tar files, in the order of their names.
        keys: Names of the samples.
        spans: int64 [N, 3]: number of the file, first byte, bytes.
        labels: int64 [N].
        class_names: Lines of ``classes.txt`` next to the shards; empty without it.
        left_out: Number of members of each kind that are neither picture nor label.
    """

    files: tuple[Path, ...]
    keys: PackedNames
    spans: numpy.ndarray
    labels: Tensor
    class_names: tuple[str, ...]
    left_out: Mapping[str, int]

    @classmethod
    def open(cls, folder: Path, name: str) -> TarStore | None:
        """Lists ``folder/name/*.tar`` or ``folder/*name*.tar``, read once; None if there is no such file."""
        files = sorted([*folder.glob(f"{name}/*.tar"), *folder.glob(f"*{name}*.tar")])
        files = [file for file in files if not file.name.startswith(".")]
        if not files:
            return None
        for file in files:
            open_file(file).close()  # raises for a pipe, which would block
        table = load_index(files, lambda: _make_table(files), lambda table: _is_table(table, files))
        keys, labels = PackedNames(table["letters"], table["ends"]), torch.from_numpy(table["labels"])
        left_out = json.loads(str(table["left_out"]))
        return cls(tuple(files), keys, table["spans"], labels, _read_classes(folder / CLASSES), left_out)

    def key(self, number: int) -> str:
        """The sample's name in its shard."""
        return self.keys[number]

    def place(self, number: int) -> str:
        """The shard and the sample's name in it."""
        return show_path(f"{self.files[self.spans[number, 0]]}:{self.key(number)}")

    def read(self, number: int) -> bytes:
        """The bytes of the sample's picture."""
        file, start, length = self.spans[number].tolist()
        if length > MOST_BYTES:
            raise BadPicture(f"it has {length:,} bytes; at most {MOST_BYTES:,} are read")
        with open_file(self.files[file]) as shard:
            shard.seek(start)
            content = shard.read(length)
        if len(content) < length:
            raise BadPicture("the shard ends within it: it has changed since it was listed")
        return content


def _make_table(files: list[Path]) -> IndexArrays:
    shards = [list_shard(file) for file in files]
    keys = PackedNames.pack(key for shard in shards for key in shard.keys)
    spans = [(number, *span) for number, shard in enumerate(shards) for span in shard.spans]
    return {
        "letters": keys.letters,
        "ends": keys.ends,
        "labels": numpy.array([label for shard in shards for label in shard.labels], numpy.int64),
        "spans": numpy.array(spans, numpy.int64),
        "left_out": numpy.array(json.dumps(Counter(kind for shard in shards for kind in shard.left_out.elements()))),
    }


def _is_table(table: IndexArrays, files: list[Path]) -> bool:
    """Whether a cached table describes these files."""
    labels, spans, count = table["labels"], table["spans"], len(table["ends"])
    if not (PackedNames(table["letters"], table["ends"]).is_whole() and labels.dtype == spans.dtype == numpy.int64):
        return False
    if labels.shape != (count,) or spans.shape != (count, 3) or not count or labels.min() < 0:
        return False
    sizes = numpy.array([file.stat().st_size for file in files])
    return bool((spans >= 0).all() and (spans[:, 0] < len(files)).all()) and bool(
        (spans[:, 1] <= sizes[spans[:, 0]]).all() and (spans[:, 2] <= sizes[spans[:, 0]] - spans[:, 1]).all()
    )


def _read_classes(path: Path) -> tuple[str, ...]:
    """Reads the lines of a file that may begin with a byte order mark; none if there is no file."""
    if not os.path.lexists(path):
        return ()
    try:
        return tuple(read_file(path, _CLASSES_BYTES).decode("utf-8-sig").rstrip().splitlines())
    except UnicodeDecodeError as error:
        raise CorruptData(f"{show_path(path)} is no text in UTF-8: {error}.", path=path) from error
