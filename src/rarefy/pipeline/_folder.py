"""A run's folder: claimed by one process, with its own log."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import filelock

from rarefy import training
from rarefy.errors import RarefyError
from rarefy.paths import RunPaths, remove_partial_files

if sys.platform != "win32":
    import fcntl

LOG = logging.getLogger("rarefy")
_LOOKS_END = 1.0  # seconds in which one who only looks whether a run is held has looked
_LOOK_EVERY = 1.0  # seconds between looks at whether the folder is still there


class RunError(RarefyError, ValueError):
    """A run that cannot go on; the message says what to do."""


class RunHeld(RunError):
    """A run that another process trains now."""


class FolderLost(RunError):
    """A run whose folder is gone, or another one, while it is trained."""


@contextlib.contextmanager
def claimed(paths: RunPaths) -> Iterator[None]:
    """Holds the run's folder for this process alone; the lock ends with the process, however it ends."""
    paths.folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(paths.lock)
    try:
        lock.acquire(timeout=_LOOKS_END, poll_interval=0.02)
    except filelock.Timeout:
        raise RunHeld(f"The run {paths.folder} is being trained by another process. Wait for it, or stop it.") from None
    try:
        remove_partial_files(paths.folder)
        yield
    finally:
        lock.release()


def is_held(paths: RunPaths) -> bool:
    """Whether a process trains this run now.

    Example:
        >>> is_held(RunPaths(Path("nowhere")))
        False
    """
    if not paths.lock.is_file():
        return False
    if sys.platform == "win32":
        return _is_taken(paths.lock)
    with contextlib.suppress(FileNotFoundError), paths.lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # looks do not exclude each other; closing gives it back
        except BlockingIOError:
            return True
    return False


def _is_taken(path: Path) -> bool:
    try:
        with filelock.FileLock(path, timeout=0):
            return False
    except filelock.Timeout:
        return True


def watch_folder(paths: RunPaths) -> training.Callback:
    """Makes a callback that ends a training whose folder was deleted or moved: another process may be in a new one.

    Call it when the folder is claimed.
    """
    claim = paths.lock.stat()
    looked_at = time.monotonic()

    def check(event: training.Event, state: training.State) -> None:
        nonlocal looked_at
        now = time.monotonic()
        if event is training.Event.END or (event is training.Event.STEP and now - looked_at < _LOOK_EVERY):
            return
        looked_at = now
        try:
            is_ours = os.path.samestat(claim, paths.lock.stat())
        except OSError:
            is_ours = False
        if not is_ours:
            raise FolderLost(
                f"The folder of the run, {paths.folder}, was deleted or moved while it was trained. Nothing more is "
                "written there, for another process may have begun anew in it. The same command starts the run again."
            )

    return check


class _LogFile(logging.FileHandler):
    """A log that says once that it cannot be written, and leaves the run alone."""

    has_failed = False

    def handleError(self, record: logging.LogRecord) -> None:
        if not self.has_failed:
            self.has_failed = True
            LOG.warning("%s cannot be written (%s); the run goes on.", self.baseFilename, sys.exc_info()[1])

    def close(self) -> None:
        with contextlib.suppress(OSError):  # what it still holds
            super().close()


@contextlib.contextmanager
def logging_to(path: Path) -> Iterator[None]:
    handler = _LogFile(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    before = LOG.level
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    try:
        yield
    finally:
        LOG.setLevel(before)
        LOG.removeHandler(handler)
        handler.close()


def log_epoch(event: training.Event, state: training.State) -> None:
    if event is training.Event.EPOCH:
        LOG.info("epoch %s", json.dumps(state.history[-1]))
