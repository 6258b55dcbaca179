"""CIFAR-10 and CIFAR-100: one layout of pickled batches."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar

import numpy
import torch

from rarefy.data._official import OfficialDataset, ReadImages
from rarefy.data._split import Split
from rarefy.data._unpickle import unpickle


@dataclasses.dataclass(frozen=True)
class Cifar(OfficialDataset):
    """A CIFAR data set from its official python archive.

    Attributes:
        train_files: Files of the training images, in order.
        test_file: File of the test images.
        labels_key: Key of the labels in an image file.
    """

    train_files: ClassVar[tuple[str, ...]]
    test_file: ClassVar[str]
    shape = (3, 32, 32)
    labels_key: ClassVar[bytes]

    def read(self, folder: Path) -> ReadImages:
        """Reads all images."""
        batches = [self._read_split(folder, name) for name in self.train_files]
        train = Split(torch.cat([batch.images for batch in batches]), torch.cat([batch.labels for batch in batches]))
        return train, self._read_split(folder, self.test_file)

    def _read_split(self, folder: Path, name: str) -> Split:
        entry = unpickle(self.source.read(folder, name), folder / name)
        # A row of the file is an image, channel by channel and row by row: already [C, H, W].
        pixels = numpy.array(entry[b"data"], dtype=numpy.uint8).reshape(-1, *self.shape)
        return Split(torch.from_numpy(pixels), torch.tensor(entry[self.labels_key], dtype=torch.int64))
