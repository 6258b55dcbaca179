"""Pictures in tar files as WebDataset writes them: ``<key>.jpg`` beside ``<key>.cls``."""

from __future__ import annotations

import dataclasses
import tarfile
from pathlib import Path

import numpy
import torch
from torch import Tensor

from rarefy.data._source import CorruptData

_PICTURES = ("jpg", "jpeg", "png", "webp")
_LABEL = "cls"


@dataclasses.dataclass(frozen=True, eq=False)
class Shards:
    """Uncompressed tar files, each picture read where it lies: any order is as good as any other.

    Args:
        files: The tar files, in the order of their names.
        keys: Names of the samples.
        spans: int64 [N, 3]: number of the file, first byte, bytes.
        labels: int64 [N].
        class_names: Empty: shards number their classes.
    """

    files: tuple[Path, ...]
    keys: numpy.ndarray
    spans: Tensor
    labels: Tensor
    class_names: tuple[str, ...] = ()

    @classmethod
    def open(cls, folder: Path, name: str) -> Shards | None:
        """Reads the headers of ``folder/name/*.tar`` or ``folder/*name*.tar``; None if there is no such file."""
        files = sorted([*folder.glob(f"{name}/*.tar"), *folder.glob(f"*{name}*.tar")])
        if not files:
            return None
        rows = [(key, label, number, *span) for number, file in enumerate(files) for key, label, span in _samples(file)]
        keys, labels, *spans = zip(*rows, strict=True)
        return cls(
            tuple(files), numpy.array([key.encode() for key in keys]), torch.tensor(spans).T, torch.tensor(labels)
        )

    def key(self, number: int) -> str:
        """The sample's name in its shard."""
        return str(self.keys[number].decode())

    def place(self, number: int) -> str:
        """The shard and the sample's name in it."""
        return f"{self.files[int(self.spans[number, 0])]}:{self.key(number)}"

    def read(self, number: int) -> bytes:
        """The bytes of the sample's picture."""
        file, start, length = self.spans[number].tolist()
        with self.files[file].open("rb") as shard:
            shard.seek(start)
            content: bytes = shard.read(length)
            return content


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
