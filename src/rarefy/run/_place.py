"""A run's folder: claimed by one process, with its own log."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import filelock

from rarefy import training
from rarefy.errors import RarefyError
from rarefy.paths import RunPaths, remove_partial_files

LOG = logging.getLogger("rarefy")


class RunError(RarefyError, ValueError):
    """A run that cannot go on; the message says what to do."""


class RunHeld(RunError):
    """A run that another process trains now."""


@contextlib.contextmanager
def claimed(paths: RunPaths) -> Iterator[None]:
    """Holds the run's folder for this process alone; the lock ends with the process, however it ends."""
    paths.folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(paths.lock)
    try:
        lock.acquire(timeout=0)
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
    try:
        with claimed(paths):
            return False
    except RunHeld:
        return True


@contextlib.contextmanager
def logging_to(path: Path) -> Iterator[None]:
    handler = logging.FileHandler(path)
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
