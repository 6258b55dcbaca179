"""SLURM: a job a run, through submitit."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

from rarefy.sweeps._extra import check_counts, required
from rarefy.sweeps._sweep import EXECUTORS, End, Job
from rarefy.sweeps._work import work


@EXECUTORS.register("slurm")
@dataclasses.dataclass(frozen=True)
class Slurm:
    """Jobs of SLURM, whose own queue they wait in; a job that is preempted or out of time goes on from its checkpoint.

    The folder of the runs has to be on a file system that the nodes share. Scripts and output of the jobs are in the
    folder `logs`.

    Args:
        workers: Jobs that are queued or run at a time; default: all of them.
        threads: CPUs of each; default: 1.
        gpus: GPUs of each; default: 1 if any run computes on a GPU, else 0.
        partition: Partition; default: the cluster's.
        timeout_min: Minutes after which a job is put back into the queue, to go on from its checkpoint.
        mem_gb: Gigabytes of memory of each; default: the cluster's.
        logs: Where jobs keep scripts and output; default: a new temporary folder, which only a debugging
            `cluster` can use; on a real one ``slurm`` in the working directory.
        cluster: ``slurm``; ``local`` (processes of submitit) and ``debug`` (this process) try it without a cluster.

    Raises:
        ValueError: If a number is below 1.

    Example:
        >>> EXECUTORS.parse("slurm:partition=long:timeout_min=600").partition
        'long'
    """

    workers: int | None = None
    threads: int | None = None
    gpus: int | None = None
    partition: str | None = None
    timeout_min: int = 240
    mem_gb: float | None = None
    logs: str | None = None
    cluster: Literal["slurm", "local", "debug"] = "slurm"

    is_remote: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Checks the numbers."""
        check_counts(self, "workers", "threads", "timeout_min")

    @contextlib.contextmanager
    def __call__(self, count: int, *, accelerated: bool = False) -> Iterator[Jobs]:
        """Opens it; on leaving, jobs that still wait or run are cancelled.

        Raises:
            SweepError: If submitit is not installed.
        """
        submitit = required("submitit", "slurm")
        with contextlib.ExitStack() as stack:
            logs = self.logs or "slurm"
            if self.logs is None and self.cluster != "slurm":
                logs = stack.enter_context(tempfile.TemporaryDirectory(prefix="rarefy-", ignore_cleanup_errors=True))
            executor = submitit.AutoExecutor(folder=Path(logs).absolute(), cluster=self.cluster)
            executor.update_parameters(**self._parameters(int(accelerated)))
            pool = Jobs(executor, self.workers or count, self.threads or 1)
            try:
                yield pool
            finally:
                pool.close()

    def _parameters(self, gpus: int) -> dict[str, Any]:
        values = {
            "name": "rarefy",
            "cpus_per_task": self.threads or 1,
            "gpus_per_node": gpus if self.gpus is None else self.gpus,
            "timeout_min": self.timeout_min,
            "mem_gb": self.mem_gb,
            "slurm_partition": self.partition,
        }
        return {name: value for name, value in values.items() if value is not None}


class Attempt:
    """What a job calls; submitit asks it what to queue again when the job is preempted or out of time.

    Example:
        >>> callable(Attempt())
        True
    """

    def __call__(self, job: Job) -> End:
        """Works on the job."""
        return work(job)

    def checkpoint(self, job: Job) -> Any:
        """The same again: the run has its own checkpoint."""
        return required("submitit", "slurm").helpers.DelayedSubmission(self, job)


class Jobs:
    """The jobs that were submitted.

    Args:
        executor: submitit's.
        slots: How many are submitted at a time.
        threads: Threads of each.

    Example:
        >>> Jobs(None, 2, 1).slots
        2
    """

    def __init__(self, executor: Any, slots: int, threads: int) -> None:
        self.slots, self.threads = slots, threads
        self._executor = executor
        self._submitted: list[Submitted] = []

    def submit(self, job: Job) -> Submitted:
        """Submits a job."""
        submitted = Submitted(self._executor.submit(Attempt(), job))
        self._submitted.append(submitted)
        return submitted

    def close(self) -> None:
        """Cancels what still waits or runs."""
        for submitted in self._submitted:
            if submitted.poll() is None:
                submitted.stop()


class Submitted:
    """One run's job.

    Args:
        job: submitit's.
    """

    def __init__(self, job: Any) -> None:
        self._job = job
        self._is_stopped = False

    def poll(self) -> End | None:
        """How it ended; None while it waits or runs."""
        if not self._job.done():
            return None
        try:
            end: End = self._job.result()
        except Exception as error:  # submitit raises what the job raised, and its own when there is no result
            words = f"{self._job.stderr() or ''}\n{error}"
            return End("stopped" if self._is_stopped else "failed", words)
        return end

    def stop(self) -> None:
        """Cancels it; SLURM sends SIGTERM first, upon which it saves."""
        self._is_stopped = True
        self._job.cancel(check=False)
