"""What MNIST and Fashion-MNIST share: four files in the idx format."""

from __future__ import annotations

import math
from pathlib import Path

import numpy
import torch

from rarefy.data._errors import CorruptData
from rarefy.data._source import Source
from rarefy.data._splits import Split


def read(source: Source, directory: Path) -> tuple[Split, Split]:
    """The training and the test images of a data set in idx files, with one channel."""
    folder = source.find(directory)
    return _split(source, folder, "train"), _split(source, folder, "t10k")


def parse(content: bytes, path: Path) -> numpy.ndarray:
    """The array in an idx file of unsigned bytes.

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


def _split(source: Source, folder: Path, part: str) -> Split:
    names = (f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte")
    images, labels = (torch.from_numpy(parse(source.read(folder, name), folder / name)) for name in names)
    return Split(images.unsqueeze(1), labels.long())
