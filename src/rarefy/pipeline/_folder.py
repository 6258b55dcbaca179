"""Claims a run's folder for one process, and logs into it."""

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
_CLAIM_TIMEOUT = 1.0  # seconds; longer than `is_held` holds the lock
_CHECK_SECONDS = 1.0  # between two checks that the folder is still there


class RunError(RarefyError, ValueError):
    """A run cannot start or go on; the message says what to do."""


class RunHeld(RunError):
    """Another process is training the run."""


class FolderLost(RunError):
    """The run's folder was deleted or replaced during training."""


@contextlib.contextmanager
def claim_folder(paths: RunPaths) -> Iterator[None]:
    """Context that locks the run's folder for this process; the system releases the lock however the process ends."""
    paths.folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(paths.lock)
    try:
        lock.acquire(timeout=_CLAIM_TIMEOUT, poll_interval=0.02)
    except filelock.Timeout:
        raise RunHeld(f"The run {paths.folder} is being trained by another process. Wait for it, or stop it.") from None
    try:
        remove_partial_files(paths.folder)
        yield
    finally:
        lock.release()


def is_held(paths: RunPaths) -> bool:
    """Whether a process is training this run.

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
            fcntl.flock(
                file, fcntl.LOCK_SH | fcntl.LOCK_NB
            )  # shared: checks do not exclude each other; closing releases it
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
    """Makes a callback that stops a training whose folder was deleted or moved, as another process may use a new one.

    Call it while the folder is claimed.
    """
    claim = paths.lock.stat()
    checked_at = time.monotonic()

    def check(event: training.Event, state: training.State) -> None:
        nonlocal checked_at
        now = time.monotonic()
        if event is training.Event.END or (event is training.Event.STEP and now - checked_at < _CHECK_SECONDS):
            return
        checked_at = now
        try:
            is_ours = os.path.samestat(claim, paths.lock.stat())
        except OSError:
            is_ours = False
        if not is_ours:
            raise FolderLost(
                f"The folder of the run, {paths.folder}, was deleted or moved while it was trained. Nothing more is "
                "written there, as another process may have started in it. The same command starts the run again."
            )

    return check


class _LogFile(logging.FileHandler):
    """Log file handler that reports a write error once and never fails the run."""

    has_failed = False

    def handleError(self, record: logging.LogRecord) -> None:
        if not self.has_failed:
            self.has_failed = True
            LOG.warning("%s cannot be written (%s); the run goes on.", self.baseFilename, sys.exc_info()[1])

    def close(self) -> None:
        with contextlib.suppress(OSError):  # flushing may fail again
            super().close()


@contextlib.contextmanager
def log_to_file(path: Path) -> Iterator[None]:
    """Context that appends rarefy's log to a file."""
    handler = _LogFile(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    previous_level = LOG.level
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    try:
        yield
    finally:
        LOG.setLevel(previous_level)
        LOG.removeHandler(handler)
        handler.close()


def log_epoch(event: training.Event, state: training.State) -> None:
    """Callback that logs the history row of each epoch."""
    if event is training.Event.EPOCH:
        LOG.info("epoch %s", json.dumps(state.history[-1]))
