"""Local: a process a run, on this machine."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from rarefy.sweeps._door import EXECUTORS, End, Job
from rarefy.sweeps._exits import end_of
from rarefy.sweeps._extra import check_counts
from rarefy.sweeps._work import last_words

MOST_WORKERS = 8  # by default: each holds a few hundred megabytes before it has read any data
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


@EXECUTORS.register("local")
@dataclasses.dataclass(frozen=True)
class Local:
    """Processes on this machine, each with its share of the cores pinned, each ended if this one ends.

    Args:
        workers: Runs at a time; default: one a core, at most 8, and one at a time on a GPU.
        threads: Threads of each; default: the machine's cores shared out among the workers.

    Raises:
        ValueError: If a number is below 1.

    Example:
        >>> EXECUTORS.build("local", workers=2)
        Local(workers=2, threads=None)
    """

    workers: int | None = None
    threads: int | None = None

    is_remote: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Checks the numbers."""
        check_counts(self, "workers", "threads")

    @contextlib.contextmanager
    def __call__(self, count: int, *, accelerated: bool = False) -> Iterator[Processes]:
        """Opens it; on leaving, what still runs is killed (its last checkpoint stays)."""
        workers = self.workers or (1 if accelerated else min(cores(), MOST_WORKERS, count))
        pool = Processes(workers, self.threads or max(1, cores() // workers))
        try:
            yield pool
        finally:
            pool.close()


class Processes:
    """The processes that were started.

    Args:
        slots: How many run at a time.
        threads: Threads of each.

    Example:
        >>> Processes(2, 1).slots
        2
    """

    def __init__(self, slots: int, threads: int) -> None:
        self.slots, self.threads = slots, threads
        self._started: list[Process] = []

    def submit(self, job: Job) -> Process:
        """Starts a process for a job."""
        self._started = [process for process in self._started if process.poll() is None]
        process = Process(job)
        self._started.append(process)
        return process

    def close(self) -> None:
        """Kills what still runs."""
        for process in self._started:
            process.kill()


class Process:
    """One run's process.

    It has a session of its own, so that a terminal's Ctrl-C reaches only the sweep, which then asks it to stop.

    Args:
        job: What it works on.

    Example:
        >>> Process.__name__
        'Process'
    """

    def __init__(self, job: Job) -> None:
        handle, name = tempfile.mkstemp(prefix="rarefy-", suffix=".txt")
        self._words = Path(name)
        self._end: End | None = None
        text = json.dumps(dataclasses.asdict(job) | {"parent": os.getpid()}, default=str)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "rarefy.sweeps._worker", text],
                stdin=subprocess.DEVNULL,
                stdout=handle,
                stderr=handle,
                env=os.environ | dict.fromkeys(THREAD_VARIABLES, str(job.threads)),
                start_new_session=True,
            )
        finally:
            os.close(handle)

    def poll(self) -> End | None:
        """How it ended; None while it goes on."""
        code = self._process.poll()
        if code is not None and self._end is None:
            self._end = end_of(code, last_words(self._words))
            self._words.unlink(missing_ok=True)
        return self._end

    def stop(self) -> None:
        """Asks it to save and end."""
        self._process.terminate()

    def kill(self) -> None:
        """Ends it now."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._words.unlink(missing_ok=True)


def cores() -> int:
    """Cores that this process may use.

    Example:
        >>> cores() >= 1
        True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
