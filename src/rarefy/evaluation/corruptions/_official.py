"""Reads the official files of CIFAR-10-C and CIFAR-100-C."""

from __future__ import annotations

from pathlib import Path

import numpy
import torch

from rarefy.data import CorruptData, MissingData, Split, map_array

IMAGES = 10_000  # of one severity
ROWS = 5 * IMAGES


def load_official(folder: Path, name: str, severity: int, limit: int | None = None) -> Split:
    """Loads one corruption at one severity from the official files.

    Args:
        folder: Holds ``<name>.npy``, uint8 [50000, 32, 32, 3], severity after severity, and ``labels.npy``, as
            CIFAR-10-C.tar and CIFAR-100-C.tar unpack.
        name: The corruption.
        severity: 1 to 5.
        limit: Number of first images of the severity; None: all 10,000.
    Returns:
        Images and labels; only the needed rows are read.
    Raises:
        MissingData: If a file does not exist.
        CorruptData: If a file does not have the official shape.

    Example:
        >>> load_official(Path("CIFAR-10-C"), "fog", 1)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        rarefy.data._errors.MissingData: The official file CIFAR-10-C/fog.npy is not there. ...

    References:
        Hendrycks and Dietterich, 2019, arXiv:1903.12261; https://zenodo.org/records/2535967 (CIFAR-10-C).
    """
    first = (severity - 1) * IMAGES
    rows = slice(first, first + min(limit or IMAGES, IMAGES))
    pixels = _read_rows(folder / f"{name}.npy", (ROWS, 32, 32, 3), rows).transpose(0, 3, 1, 2)
    labels = _read_rows(folder / "labels.npy", (ROWS,), rows)
    return Split(torch.from_numpy(numpy.ascontiguousarray(pixels)), torch.from_numpy(labels.astype(numpy.int64)))


def _read_rows(path: Path, shape: tuple[int, ...], rows: slice) -> numpy.ndarray:
    if not path.is_file():
        raise MissingData(
            f"The official file {path} is not there. Unpack CIFAR-10-C.tar (https://zenodo.org/records/2535967) and "
            "name its folder, or leave the folder out to regenerate the corruptions."
        )
    array = map_array(path)
    if array.shape != shape or array.dtype.kind not in "ui" or (len(shape) > 1 and array.dtype != numpy.uint8):
        problem = f"{path} is of {array.dtype} and has shape {list(array.shape)}"
        raise CorruptData(f"{problem}; the official file is of uint8 and has {list(shape)}.", path=path)
    return numpy.array(array[rows])
