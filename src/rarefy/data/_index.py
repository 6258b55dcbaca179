"""What shards hold, kept from run to run: reading the headers of a million pictures takes minutes."""

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
_NOT_NOTED = {"noted": False}  # of this machine, and so no part of a run's record
_VERSION = "2"  # of what is in the file

Table = dict[str, numpy.ndarray]


def find_table(files: Sequence[Path], read: Callable[[], Table], is_table: Callable[[Table], bool]) -> Table:
    """What `read` finds in the files, or found when their sizes and times were what they are now.

    Kept in rarefy's cache folder and not beside the files, which may be on a disk that cannot be written to.

    Args:
        files: What is read, in order.
        read: Reads them: arrays by name.
        is_table: Whether arrays that were kept can be what `read` gave.

    Returns:
        The arrays.
    """
    path = get_cache_folder() / "shards" / f"{_digest(file.absolute() for file in files)[:16]}.npz"
    statuses = [file.stat() for file in files]
    state = _digest([_VERSION, *(f"{status.st_size} {status.st_mtime_ns}" for status in statuses)])
    found = _read_kept(path, state, is_table)
    if found is None:
        folder = show_path(files[0].parent)
        _LOG.info("reading what is in %d shards of %s, once", len(files), folder, extra={"shown": True})
        found = read()
        _keep(path, found | {_STATE: numpy.array(state)})
    return found


def _read_kept(path: Path, state: str, is_table: Callable[[Table], bool]) -> Table | None:
    """The arrays in the file, if it is there and of this state; a damaged one is named."""
    if not path.exists():
        return None
    try:
        found = read_arrays(path)
        if str(found.pop(_STATE)) != state:
            return None
        if is_table(found):
            return found
        fault = "it does not fit the shards"
    except Exception as error:  # whatever the file holds, the shards hold it anew
        fault = str(error) or type(error).__name__
    _LOG.warning("The index %s is damaged (%s). Reading the shards again.", path, fault, extra=_NOT_NOTED)
    return None


def _keep(path: Path, arrays: Table) -> None:
    """Writes the arrays; a folder that cannot be written to is named, and no reason to stop."""
    try:
        if path.exists() and not path.is_file():  # a pipe there would be waited for
            raise FileExistsError(f"{path} is no file")
        with replace_file(path) as partial:
            numpy.savez(partial, **arrays)  # type: ignore[arg-type]  # no array is named allow_pickle
    except OSError as error:
        _LOG.warning(
            "What the shards hold could not be kept (%s): the next run reads them again.", error, extra=_NOT_NOTED
        )


def _digest(texts: Iterable[str | Path]) -> str:
    return hashlib.sha256(b"\n".join(map(os.fsencode, texts))).hexdigest()
