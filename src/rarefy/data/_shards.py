"""Pictures in tar files as WebDataset writes them: ``<key>.jpg`` beside ``<key>.cls``."""

from __future__ import annotations

import dataclasses
import tarfile
from pathlib import Path

import numpy
import torch
from torch import Tensor

from rarefy.data._index import Table, indexed
from rarefy.data._source import CorruptData

_PICTURES = ("jpg", "jpeg", "png", "webp")
_LABEL = "cls"
CLASSES = "classes.txt"


@dataclasses.dataclass(frozen=True, eq=False)
class Shards:
    """Uncompressed tar files, each picture read where it lies: any order is as good as any other.

    Args:
        files: The tar files, in the order of their names.
        keys: Names of the samples.
        spans: int64 [N, 3]: number of the file, first byte, bytes.
        labels: int64 [N].
        class_names: Lines of ``classes.txt`` beside the shards; empty without.
    """

    files: tuple[Path, ...]
    keys: numpy.ndarray
    spans: numpy.ndarray
    labels: Tensor
    class_names: tuple[str, ...]

    @classmethod
    def open(cls, folder: Path, name: str) -> Shards | None:
        """Lists ``folder/name/*.tar`` or ``folder/*name*.tar``, read once; None if there is no such file."""
        files = sorted([*folder.glob(f"{name}/*.tar"), *folder.glob(f"*{name}*.tar")])
        if not files:
            return None
        found = indexed(files, lambda: _table(files))
        classes = folder / CLASSES
        names = classes.read_text(encoding="utf-8").splitlines() if classes.is_file() else ()
        return cls(tuple(files), found["keys"], found["spans"], torch.from_numpy(found["labels"]), tuple(names))

    def key(self, number: int) -> str:
        """The sample's name in its shard."""
        return str(self.keys[number].decode())

    def place(self, number: int) -> str:
        """The shard and the sample's name in it."""
        return f"{self.files[self.spans[number, 0]]}:{self.key(number)}"

    def read(self, number: int) -> bytes:
        """The bytes of the sample's picture."""
        file, start, length = self.spans[number].tolist()
        with self.files[file].open("rb") as shard:
            shard.seek(start)
            content: bytes = shard.read(length)
            return content


def _table(files: list[Path]) -> Table:
    rows = [(key.encode(), label, (n, *span)) for n, file in enumerate(files) for key, label, span in _samples(file)]
    return {
        name: numpy.array(column)
        for name, column in zip(("keys", "labels", "spans"), zip(*rows, strict=True), strict=True)
    }


def _samples(file: Path) -> list[tuple[str, int, tuple[int, int]]]:
    """(key, label, (first byte, bytes)) of every sample; raises CorruptData for a shard that is none."""
    pictures: dict[str, tuple[int, int]] = {}
    labels: dict[str, int] = {}
    try:
        with tarfile.open(file, "r:") as shard:
            for member in shard:
                folder, slash, base = member.name.rpartition("/")
                key, _, ending = base.partition(".")
                if member.isfile() and ending.lower() in _PICTURES:
                    pictures[folder + slash + key] = (member.offset_data, member.size)
                elif member.isfile() and ending == _LABEL:
                    labels[folder + slash + key] = int(shard.extractfile(member).read())  # type: ignore[union-attr]
    except (tarfile.TarError, ValueError) as error:
        raise CorruptData(f"{file} is no WebDataset shard (an uncompressed tar file): {error}.") from error
    odd = sorted(pictures.keys() ^ labels.keys())
    if odd or not pictures:
        what = f"{odd[0]!r} has not both" if odd else "it holds none"
        raise CorruptData(f"{file}: a sample is a picture, <key>.jpg, and its class, <key>.{_LABEL}; {what}.")
    return [(key, labels[key], pictures[key]) for key in pictures]
