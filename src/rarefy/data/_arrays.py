"""Numpy's files, read without trusting them: no pickles, no more memory than a file can hold."""

from __future__ import annotations

import contextlib
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy

from rarefy.data._errors import CorruptData
from rarefy.data._files import open_file, show_path
from rarefy.errors import InvalidInput

_LARGEST = 1 << 32  # bytes of an array
_SMALL, _RATIO = 1 << 26, 200  # no array of pictures above that size compresses better than that ratio
_ENDING = ".npy"


def list_arrays(path: Path) -> list[str]:
    """Lists the names of the arrays in an ``.npz`` file; raises CorruptData for any other file.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "some.npz"
        >>> numpy.savez(path, images=numpy.zeros(3, numpy.uint8))
        >>> list_arrays(path)
        ['images']
    """
    with _open_archive(path) as archive:
        return [name.removesuffix(_ENDING) for name in archive.namelist() if name.endswith(_ENDING)]


def read_arrays(path: Path) -> dict[str, numpy.ndarray]:
    """Reads all arrays of an ``.npz`` file; raises CorruptData as `read_array` does."""
    return {name: read_array(path, name) for name in list_arrays(path)}


def read_array(path: Path, name: str) -> numpy.ndarray:
    """Reads one array of an ``.npz`` file.

    Args:
        path: The file.
        name: The array, one of `list_arrays`.

    Returns:
        The array.

    Raises:
        CorruptData: If the file is damaged, the array holds Python objects (which are pickles), or it claims more bytes
            than it can have.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "some.npz"
        >>> numpy.savez(path, images=numpy.arange(3))
        >>> read_array(path, "images")
        array([0, 1, 2])
    """
    with _open_archive(path) as archive:
        info = archive.getinfo(name + _ENDING)
        with archive.open(info) as member:
            claimed = _read_size(member)
            if claimed > _LARGEST or (claimed > _SMALL and claimed > _RATIO * info.compress_size):
                raise CorruptData(
                    f"{name!r} in {show_path(path)} claims {claimed:,} bytes, packed in {info.compress_size:,}.",
                    path=path,
                )
            if claimed != info.file_size - member.tell():
                raise CorruptData(f"{name!r} in {show_path(path)} claims {claimed:,} bytes and has others.", path=path)
        with archive.open(info) as member:
            array: numpy.ndarray = numpy.lib.format.read_array(member, allow_pickle=False)
            member.read(1)  # the end, where the archive's checksum is compared
            return array


def map_array(path: Path) -> numpy.ndarray:
    """Maps the array of an ``.npy`` file into memory, so that only parts in use are read; raises CorruptData.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "some.npy"
        >>> numpy.save(path, numpy.arange(3))
        >>> map_array(path)[1].item()
        1
    """
    with open_file(path) as file:
        try:
            _read_size(file)
            return numpy.lib.format.open_memmap(path, mode="r")
        except Exception as error:  # a broken file can raise anything
            raise CorruptData(
                f"{show_path(path)} is no array in numpy's format: {_shorten(error)}.", path=path
            ) from error


@contextlib.contextmanager
def _open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    with open_file(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                yield archive
        except (CorruptData, MemoryError):
            raise
        except Exception as error:  # a broken archive can raise anything
            raise CorruptData(
                f"{show_path(path)} is no whole .npz file of numbers: {_shorten(error)}.", path=path
            ) from error


def _read_size(member: IO[bytes]) -> int:
    """Bytes of the array that begins here, as its header claims; leaves the file behind the header."""
    version = numpy.lib.format.read_magic(member)
    read = numpy.lib.format.read_array_header_1_0 if version == (1, 0) else numpy.lib.format.read_array_header_2_0
    shape, _, dtype = read(member)
    if dtype.hasobject:
        raise InvalidInput("it holds Python objects, which are pickles and never loaded; save numbers")
    if any(size < 0 for size in shape):
        raise InvalidInput(f"it has the shape {shape}")
    return math.prod(shape) * dtype.itemsize


def _shorten(error: Exception) -> str:
    return show_path(str(error).split("\n")[0] or type(error).__name__)
