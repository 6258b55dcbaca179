"""What CIFAR-10 and CIFAR-100 share: the layout of the official python archives."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy
import torch

from rarefy.data._source import Source
from rarefy.data._splits import Split
from rarefy.data._unpickle import unpickle


@dataclasses.dataclass(frozen=True)
class Archive:
    """One official python archive, unpacked.

    Args:
        source: Its files and their md5.
        train: Files of the training images, in order.
        test: File of the test images.
        meta: File of the class names.
        labels: Key of the labels in an image file.
        names: Key of the class names in ``meta``.
    """

    source: Source
    train: tuple[str, ...]
    test: str
    meta: str
    labels: bytes
    names: bytes

    def read(self, directory: Path) -> tuple[Split, Split, tuple[str, ...]]:
        """All training images, the test images and the class names."""
        folder = self.source.find(directory)
        parts = [self._split(folder, name) for name in self.train]
        train = Split(torch.cat([part.images for part in parts]), torch.cat([part.labels for part in parts]))
        meta = unpickle(self.source.read(folder, self.meta), folder / self.meta)
        return train, self._split(folder, self.test), tuple(name.decode() for name in meta[self.names])

    def _split(self, folder: Path, name: str) -> Split:
        entry = unpickle(self.source.read(folder, name), folder / name)
        # A row of the file is an image, channel by channel and row by row: already [C, H, W].
        pixels = numpy.array(entry[b"data"], dtype=numpy.uint8).reshape(-1, 3, 32, 32)
        return Split(torch.from_numpy(pixels), torch.tensor(entry[self.labels], dtype=torch.int64))
