"""Runs one job in the current process."""

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
from rarefy.sweeps._sweep import Job, JobResult
from rarefy.training import Interrupted

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name))


def run_job(job: Job, *, parent: int | None = None) -> JobResult:
    """Trains or resumes a job's run until it is done or this process is signalled to stop.

    SIGINT, SIGTERM (on Windows Ctrl-Break) and the end of the parent process make the run save and end.

    Args:
        job: The job.
        parent: Id of the process whose end stops the run; default: the current parent.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from rarefy.pipeline import resolve
        >>> resolved = resolve(Config.from_values({"data": {"name": "synthetic", "height": 8, "width": 8, "train": 64,
        ...     "validation": 16, "test": 16}, "model": "mlp_16", "training": {"epochs": 1}}))
        >>> run_job(Job(resolved.config.model_dump(), Path(tempfile.mkdtemp()) / resolved.id, Path("data"))).kind
        'done'
    """
    before = torch.get_num_threads()
    torch.set_num_threads(job.threads)
    try:
        with _watch_for_stop(parent or os.getppid()) as should_stop:
            return _train(job, should_stop)
    finally:
        torch.set_num_threads(before)


def _train(job: Job, should_stop: Callable[[], bool]) -> JobResult:
    try:
        run(
            Config.from_values(job.values),
            out=job.folder.parent,
            data_dir=job.data_dir,
            checkpoint_seconds=job.checkpoint_seconds,
            should_stop=should_stop,
        )
    except RunHeld as held:
        return JobResult("held", str(held))
    except Interrupted as stop:
        return JobResult("stopped", str(stop))
    except Exception:  # of any kind: the sweep reports it and continues with the other runs
        return JobResult("failed", traceback.format_exc())
    return JobResult("done")


@contextlib.contextmanager
def _watch_for_stop(parent: int) -> Iterator[Callable[[], bool]]:
    """Yields a function that returns whether a signal arrived or the parent process ended."""
    received: list[int] = []
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, lambda number, frame: received.append(number)) for number in SIGNALS}
    try:
        yield lambda: bool(received) or os.getppid() != parent
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def read_tail(file: IO[bytes], limit: int = 4000) -> str:
    """Reads the end of a text file."""
    file.seek(max(0, file.seek(0, os.SEEK_END) - limit))
    return file.read().decode(errors="replace")
