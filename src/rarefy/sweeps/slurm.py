"""Executor `slurm`: one SLURM job per run, through submitit."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

from rarefy.sweeps._job import run_job
from rarefy.sweeps._optional import check_counts, import_optional
from rarefy.sweeps._sweep import EXECUTORS, Job, JobResult


@EXECUTORS.register("slurm")
@dataclasses.dataclass(frozen=True)
class Slurm:
    """SLURM jobs in the cluster's queue; a job that is preempted or out of time continues from its checkpoint.

    The folder of the runs has to be on a file system that the nodes share. Scripts and output of jobs are in `logs`.

    Args:
        workers: Jobs that are queued or run at a time; default: all of them.
        threads: CPUs of each; default: 1.
        gpus: GPUs of each; default: 1 if any run uses a GPU, else 0.
        partition: Partition; default: the cluster's.
        timeout_min: Minutes after which a job is requeued to continue from its checkpoint.
        mem_gb: Gigabytes of memory of each; default: the cluster's.
        logs: Folder of scripts and output; default: ``slurm`` in the working directory; for ``local`` and ``debug`` a
            temporary folder.
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
        """Checks the options."""
        check_counts(self, "workers", "threads", "timeout_min")

    @contextlib.contextmanager
    def __call__(self, count: int, *, accelerated: bool = False) -> Iterator[JobPool]:
        """Opens a pool; on leaving, jobs that wait or run are cancelled.

        Raises:
            SweepError: If submitit is not installed.
        """
        submitit = import_optional("submitit", "slurm")
        with contextlib.ExitStack() as stack:
            logs = self.logs or "slurm"
            if self.logs is None and self.cluster != "slurm":
                logs = stack.enter_context(tempfile.TemporaryDirectory(prefix="rarefy-", ignore_cleanup_errors=True))
            executor = submitit.AutoExecutor(folder=Path(logs).absolute(), cluster=self.cluster)
            executor.update_parameters(**self._parameters(int(accelerated)))
            pool = JobPool(executor, self.workers or count, self.threads or 1)
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


class CheckpointedJob:
    """Function that a SLURM job calls; submitit calls `checkpoint` to requeue a preempted or timed-out job.

    Example:
        >>> callable(CheckpointedJob())
        True
    """

    def __call__(self, job: Job) -> JobResult:
        """Runs the job."""
        return run_job(job)

    def checkpoint(self, job: Job) -> Any:
        """Resubmits the same call: the run continues from its own checkpoint."""
        return import_optional("submitit", "slurm").helpers.DelayedSubmission(self, job)


class JobPool:
    """Submitted jobs of one sweep.

    Args:
        executor: submitit's executor.
        slots: How many jobs are submitted at a time.
        threads: Threads of each job.

    Example:
        >>> JobPool(None, 2, 1).slots
        2
    """

    def __init__(self, executor: Any, slots: int, threads: int) -> None:
        self.slots, self.threads = slots, threads
        self._executor = executor
        self._submitted: list[SlurmJob] = []

    def submit(self, job: Job) -> SlurmJob:
        """Submits a job."""
        submitted = SlurmJob(self._executor.submit(CheckpointedJob(), job))
        self._submitted.append(submitted)
        return submitted

    def close(self) -> None:
        """Cancels jobs that wait or run."""
        for submitted in self._submitted:
            if submitted.poll() is None:
                submitted.stop()


class SlurmJob:
    """SLURM job of one run.

    Args:
        job: submitit's job.
    """

    def __init__(self, job: Any) -> None:
        self._job = job
        self._is_stopped = False

    def poll(self) -> JobResult | None:
        """Returns the result, or None while the job waits or runs."""
        if not self._job.done():
            return None
        try:
            result: JobResult = self._job.result()
        except Exception as error:  # submitit raises the job's error, or its own if there is no result
            message = f"{self._job.stderr() or ''}\n{error}"
            return JobResult("stopped" if self._is_stopped else "failed", message)
        return result

    def stop(self) -> None:
        """Cancels the job; SLURM sends SIGTERM first, on which the run saves."""
        self._is_stopped = True
        self._job.cancel(check=False)
