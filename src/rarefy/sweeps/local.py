"""Local: a process a run, on this machine."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, ClassVar

from rarefy.cores import check_threads, cores
from rarefy.sweeps._exits import FORKS, end_of
from rarefy.sweeps._extra import check_counts
from rarefy.sweeps._sweep import EXECUTORS, End, Job
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
        if self.threads is not None:
            check_threads(self.threads)

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
    """The workers that were started.

    Args:
        slots: How many run at a time.
        threads: Threads of each.

    Example:
        >>> Processes(2, 1).slots
        2
    """

    def __init__(self, slots: int, threads: int) -> None:
        self.slots, self.threads = slots, threads
        self._workers: list[Worker] = []

    def submit(self, job: Job) -> Process:
        """Gives a job to a worker that has none, or to a new one."""
        for worker in [worker for worker in self._workers if worker.is_gone]:
            worker.close()
            self._workers.remove(worker)
        if not any(worker.is_idle for worker in self._workers):
            self._workers.append(Worker(self.threads))
        return Process(next(worker for worker in self._workers if worker.is_idle), job)

    def close(self) -> None:
        """Kills what still runs."""
        for worker in self._workers:
            worker.close()


class Worker:
    """A process that takes one job after the other, and works on each in a fork of its own.

    It has a session of its own, so that a terminal's Ctrl-C reaches only the sweep, which then asks it to stop.

    Args:
        threads: Threads that it computes with.
    """

    def __init__(self, threads: int) -> None:
        handle, name = tempfile.mkstemp(prefix="rarefy-", suffix=".txt")
        os.close(handle)
        self._named = Path(name)
        self.words: IO[bytes] = self._named.open("a+b", buffering=0)
        if FORKS:  # a file without a name is gone with the last process that has it open, however that ends
            self._named.unlink()
        self.is_idle = True
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "rarefy.sweeps._worker", str(os.getpid())],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.words,
            env=os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads)),
            start_new_session=True,
        )

    @property
    def is_gone(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def give(self, job: Job) -> None:
        """Gives it a job; one that has just died says so by its exit code."""
        self.is_idle = False
        self.words.truncate(0)
        with contextlib.suppress(BrokenPipeError):
            self._stdin.write(f"{json.dumps(dataclasses.asdict(job), default=str)}\n".encode())

    def code(self) -> int | None:
        """The exit code of its job, its own if it ended with the job, None while it works."""
        if not FORKS:
            return self._process.poll()
        if not select.select([self._stdout], [], [], 0)[0]:
            return None
        self.is_idle = bool(line := self._stdout.readline())
        return int(line) if line else self._process.wait()

    def stop(self) -> None:
        """Asks its job to save and end."""
        self._process.terminate()

    def close(self) -> None:
        """Kills it, and its fork with it, and waits for both."""
        if not self.is_gone:
            os.killpg(self._process.pid, signal.SIGKILL) if FORKS else self._process.kill()
        with self._process:
            self._stdout.read()
        self.words.close()
        self._named.unlink(missing_ok=True)

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin
        return self._process.stdin

    @property
    def _stdout(self) -> IO[bytes]:
        assert self._process.stdout
        return self._process.stdout


class Process:
    """One run, in a worker.

    Args:
        worker: Who works on it.
        job: What it works on.
    """

    def __init__(self, worker: Worker, job: Job) -> None:
        self._worker = worker
        self._end: End | None = None
        worker.give(job)

    def poll(self) -> End | None:
        """How it ended; None while it goes on."""
        if self._end is None and (code := self._worker.code()) is not None:
            self._end = end_of(code, last_words(self._worker.words))
        return self._end

    def stop(self) -> None:
        """Asks it to save and end."""
        if self._end is None:
            self._worker.stop()
