"""MNIST and Fashion-MNIST: four files in the idx format."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy
import torch

from rarefy.data._errors import CorruptData
from rarefy.data._official import OfficialDataset, ReadImages
from rarefy.data._split import Split


@dataclasses.dataclass(frozen=True)
class IdxDataset(OfficialDataset):
    """Grey images from four official idx files, compressed or not."""

    shape = (1, 28, 28)

    def read(self, folder: Path) -> ReadImages:
        """Reads the training and the test images."""
        return self._read_split(folder, "train"), self._read_split(folder, "t10k")

    def _read_split(self, folder: Path, prefix: str) -> Split:
        names = (f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte")
        images, labels = (torch.from_numpy(parse_idx(self.source.read(folder, name), folder / name)) for name in names)
        return Split(images.unsqueeze(1), labels.long())


def parse_idx(content: bytes, path: Path) -> numpy.ndarray:
    """Parses an idx file of unsigned bytes.

    The file is two zero bytes, the type (8: unsigned byte), the number of dimensions, each dimension as a big-endian
    32-bit integer, then the values.

    Raises:
        CorruptData: If the header or the number of values does not fit.

    References:
        LeCun, Cortes and Burges, The MNIST database, "File formats".
    """
    header = 4 + 4 * content[3] if len(content) > 3 else 4
    shape = [int.from_bytes(content[start : start + 4], "big") for start in range(4, header, 4)]
    if content[:3] != b"\x00\x00\x08" or len(content) != header + math.prod(shape):
        raise CorruptData(
            f"{path} is not an idx file of unsigned bytes: {len(content)} bytes, dimensions {shape}.", path=path
        )
    return numpy.frombuffer(content, dtype=numpy.uint8, offset=header).reshape(shape).copy()
