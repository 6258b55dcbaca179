"""The cached index of tar shards: reading the headers of a million pictures takes minutes."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy

from rarefy.data._arrays import read_arrays
from rarefy.data._files import show_path
from rarefy.paths import get_cache_folder, replace_file

_LOG = logging.getLogger("rarefy")
_STATE = "state"
_NOT_NOTED = {"noted": False}  # about this machine, so it does not belong in a run's record
_VERSION = "2"  # format of the index file

IndexArrays = dict[str, numpy.ndarray]


def load_index(
    files: Sequence[Path], read: Callable[[], IndexArrays], is_valid: Callable[[IndexArrays], bool]
) -> IndexArrays:
    """Loads the cached index of files, or reads the files if their sizes or times have changed.

    The index is in rarefy's cache folder, not next to the files, which may be on a read-only disk.

    Args:
        files: The files, in order.
        read: Reads the files: arrays by name.
        is_valid: Whether arrays from the cache can describe the files.

    Returns:
        The arrays.
    """
    path = get_cache_folder() / "shards" / f"{_digest(file.absolute() for file in files)[:16]}.npz"
    statuses = [file.stat() for file in files]
    state = _digest([_VERSION, *(f"{status.st_size} {status.st_mtime_ns}" for status in statuses)])
    index = _read_cached(path, state, is_valid)
    if index is None:
        folder = show_path(files[0].parent)
        _LOG.info("reading what is in %d shards of %s, once", len(files), folder, extra={"shown": True})
        index = read()
        _write_index(path, index | {_STATE: numpy.array(state)})
    return index


def _read_cached(path: Path, state: str, is_valid: Callable[[IndexArrays], bool]) -> IndexArrays | None:
    """Reads a cached index; None if it is not there or out of date, and with a warning if it is damaged."""
    if not path.exists():
        return None
    try:
        index = read_arrays(path)
        if str(index.pop(_STATE)) != state:
            return None
        if is_valid(index):
            return index
        fault = "it does not fit the shards"
    except Exception as error:  # the file may hold anything; the shards are read again
        fault = str(error) or type(error).__name__
    _LOG.warning("The index %s is damaged (%s). Reading the shards again.", path, fault, extra=_NOT_NOTED)
    return None


def _write_index(path: Path, arrays: IndexArrays) -> None:
    """Writes the index; warns if its folder cannot be written to."""
    try:
        if path.exists() and not path.is_file():  # opening a pipe would block
            raise FileExistsError(f"{path} is not a file")
        with replace_file(path) as partial:
            numpy.savez(partial, **arrays)  # type: ignore[arg-type]  # no array is named allow_pickle
    except OSError as error:
        _LOG.warning(
            "The index of the shards could not be written (%s): the next run reads them again.", error, extra=_NOT_NOTED
        )


def _digest(texts: Iterable[str | Path]) -> str:
    return hashlib.sha256(b"\n".join(map(os.fsencode, texts))).hexdigest()
