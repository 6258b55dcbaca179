"""Executor `local`: one process per run, on this machine."""

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

from rarefy.cores import check_threads, count_cores, limit_spinning
from rarefy.sweeps._exit_codes import FORKS, parse_exit_code
from rarefy.sweeps._job import read_tail
from rarefy.sweeps._optional import check_counts
from rarefy.sweeps._sweep import EXECUTORS, Job, JobResult

MOST_WORKERS = 8  # default limit: each holds a few hundred megabytes before it reads any data
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


@EXECUTORS.register("local")
@dataclasses.dataclass(frozen=True)
class Local:
    """Processes on this machine with a fixed number of threads each; they end if this process ends.

    Args:
        workers: Runs at a time; default: one per core, at most 8; one on a GPU.
        threads: Threads of each; default: the machine's cores divided by the workers.

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
        """Checks the options."""
        check_counts(self, "workers", "threads")
        if self.threads is not None:
            check_threads(self.threads)

    @contextlib.contextmanager
    def __call__(self, count: int, *, accelerated: bool = False) -> Iterator[WorkerPool]:
        """Opens a pool; on leaving, running jobs are killed (their last checkpoints remain)."""
        workers = self.workers or (1 if accelerated else min(count_cores(), MOST_WORKERS, count))
        pool = WorkerPool(workers, self.threads or max(1, count_cores() // workers))
        try:
            yield pool
        finally:
            pool.close()


class WorkerPool:
    """Worker processes of one sweep.

    Args:
        slots: How many jobs run at a time.
        threads: Threads of each.

    Example:
        >>> WorkerPool(2, 1).slots
        2
    """

    def __init__(self, slots: int, threads: int) -> None:
        self.slots, self.threads = slots, threads
        self._workers: list[Worker] = []

    def submit(self, job: Job) -> LocalJob:
        """Sends a job to an idle worker, or to a new one."""
        for worker in [worker for worker in self._workers if worker.is_gone]:
            worker.close()
            self._workers.remove(worker)
        if not any(worker.is_idle for worker in self._workers):
            self._workers.append(Worker(self.threads))
        return LocalJob(next(worker for worker in self._workers if worker.is_idle), job)

    def close(self) -> None:
        """Kills all workers."""
        for worker in self._workers:
            worker.close()


class Worker:
    """A process that runs one job after the other, each in a fork.

    It runs in a new session, so that a terminal's Ctrl-C reaches only the sweep, which then stops the worker.

    Args:
        threads: Threads of each job.
    """

    def __init__(self, threads: int) -> None:
        handle, name = tempfile.mkstemp(prefix="rarefy-", suffix=".txt")
        os.close(handle)
        self._path = Path(name)
        self.stderr: IO[bytes] = self._path.open("a+b", buffering=0)
        if FORKS:  # an unlinked file is freed when the last process that has it open ends, however it ends
            self._path.unlink()
        self.is_idle = True
        environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads))
        limit_spinning(environment)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "rarefy.sweeps._worker", str(os.getpid())],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.stderr,
            env=environment,
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # Windows: the same
        )

    @property
    def is_gone(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def send(self, job: Job) -> None:
        """Sends a job; if the worker has just died, its exit code reports that."""
        self.is_idle = False
        self.stderr.truncate(0)
        with contextlib.suppress(BrokenPipeError):
            self._stdin.write(f"{json.dumps(dataclasses.asdict(job), default=str)}\n".encode())

    def poll(self) -> int | None:
        """Returns the job's exit code, the worker's own if it ended too, or None while the job is running."""
        if not FORKS:
            return self._process.poll()
        if not select.select([self._stdout], [], [], 0)[0]:
            return None
        self.is_idle = bool(line := self._stdout.readline())
        return int(line) if line else self._process.wait()

    def stop(self) -> None:
        """Requests that the job saves and ends: by SIGTERM, or on Windows, where that kills at once, by Ctrl-Break."""
        if sys.platform == "win32":
            self._process.send_signal(signal.CTRL_BREAK_EVENT)
        else:
            self._process.terminate()

    def close(self) -> None:
        """Kills the worker and its fork, and waits for both."""
        if not self.is_gone:
            os.killpg(self._process.pid, signal.SIGKILL) if FORKS else self._process.kill()
        with self._process:
            self._stdout.read()
        self.stderr.close()
        self._path.unlink(missing_ok=True)

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin
        return self._process.stdin

    @property
    def _stdout(self) -> IO[bytes]:
        assert self._process.stdout
        return self._process.stdout


class LocalJob:
    """One job in a worker.

    Args:
        worker: The worker.
        job: The job.
    """

    def __init__(self, worker: Worker, job: Job) -> None:
        self._worker = worker
        self._result: JobResult | None = None
        worker.send(job)

    def poll(self) -> JobResult | None:
        """Returns the result, or None while the job is running."""
        if self._result is None and (code := self._worker.poll()) is not None:
            self._result = parse_exit_code(code, read_tail(self._worker.stderr))
        return self._result

    def stop(self) -> None:
        """Requests that the job saves and ends."""
        if self._result is None:
            self._worker.stop()
