"""What shards hold, kept from run to run: reading the headers of a million pictures takes minutes."""

from __future__ import annotations

import hashlib
import logging
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy

from rarefy.paths import cache_folder, replacing

_LOG = logging.getLogger("rarefy")
_STATE = "state"
_NOT_NOTED = {"noted": False}  # of this machine, and so no part of a run's record

Table = dict[str, numpy.ndarray]


def indexed(files: Sequence[Path], read: Callable[[], Table]) -> Table:
    """What `read` finds in the files, or found when their sizes and times were what they are now.

    Kept in rarefy's cache folder and not beside the files, which may be on a disk that cannot be written to.

    Args:
        files: What is read, in order.
        read: Reads them: arrays by name.

    Returns:
        The arrays.
    """
    path = cache_folder() / "shards" / f"{_digest(str(file.absolute()) for file in files)[:16]}.npz"
    state = _digest(f"{status.st_size} {status.st_mtime_ns}" for status in (file.stat() for file in files))
    found = _kept(path, state)
    if found is None:
        _LOG.info("reading what is in %d shards of %s, once", len(files), files[0].parent, extra={"shown": True})
        found = read()
        _keep(path, found | {_STATE: numpy.array(state)})
    return found


def _kept(path: Path, state: str) -> Table | None:
    """The arrays in the file, if it is there and of this state; a damaged one is named."""
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file, numpy.load(file) as arrays:
            found = dict(arrays)
        return found if str(found.pop(_STATE)) == state else None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        _LOG.warning("The index %s is damaged (%s). Reading the shards again.", path, error, extra=_NOT_NOTED)
        return None


def _keep(path: Path, arrays: Table) -> None:
    """Writes the arrays; a folder that cannot be written to is named, and no reason to stop."""
    try:
        with replacing(path) as partial:
            numpy.savez(partial, **arrays)  # type: ignore[arg-type]  # no array is named allow_pickle
    except OSError as error:
        _LOG.warning(
            "What the shards hold could not be kept (%s): the next run reads them again.", error, extra=_NOT_NOTED
        )


def _digest(texts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()
