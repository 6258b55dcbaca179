"""One attempt at one run, in a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import IO

import torch

from rarefy.config import Config
from rarefy.pipeline import RunHeld, run
from rarefy.sweeps._sweep import End, Job
from rarefy.training import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def work(job: Job, *, parent: int | None = None) -> End:
    """Trains a job's run, or goes on with it, until it is done or this process is asked to stop.

    SIGINT and SIGTERM, and the end of the process that started this one, mean: save, and end.

    Args:
        job: What to run, and where.
        parent: Process that started this one; default: the one that is its parent now.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from rarefy.pipeline import resolve
        >>> plan = resolve(Config.from_values({"data": {"name": "synthetic", "height": 8, "width": 8, "train": 64,
        ...     "validation": 16, "test": 16}, "model": "mlp_16", "training": {"epochs": 1}}))
        >>> work(Job(plan.config.model_dump(), Path(tempfile.mkdtemp()) / plan.id, Path("data"))).kind
        'done'
    """
    before = torch.get_num_threads()
    torch.set_num_threads(job.threads)
    try:
        with _asked_to_stop(parent or os.getppid()) as should_stop:
            return _attempt(job, should_stop)
    finally:
        torch.set_num_threads(before)


def _attempt(job: Job, should_stop: Callable[[], bool]) -> End:
    try:
        run(
            Config.from_values(job.values),
            out=job.folder.parent,
            data_dir=job.data_dir,
            checkpoint_seconds=job.checkpoint_seconds,
            should_stop=should_stop,
        )
    except RunHeld as held:
        return End("held", str(held))
    except Interrupted as stop:
        return End("stopped", str(stop))
    except Exception:  # whatever it was: the sweep tells it and goes on with the others
        return End("failed", traceback.format_exc())
    return End("done")


@contextlib.contextmanager
def _asked_to_stop(parent: int) -> Iterator[Callable[[], bool]]:
    """Gives a question: was there a signal, or is the process gone that started this one?"""
    seen: list[int] = []
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, lambda number, frame: seen.append(number)) for number in SIGNALS}
    try:
        yield lambda: bool(seen) or os.getppid() != parent
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def last_words(file: IO[bytes], limit: int = 4000) -> str:
    """Reads the end of a file of text."""
    file.seek(max(0, file.seek(0, os.SEEK_END) - limit))
    return file.read().decode(errors="replace")
