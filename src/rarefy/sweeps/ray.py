"""Executor `ray`: one Ray task per run, on a cluster or on this machine."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

from rarefy.cores import count_cores
from rarefy.errors import InvalidInput
from rarefy.sweeps._job import run_job
from rarefy.sweeps._optional import check_counts, import_optional
from rarefy.sweeps._sweep import EXECUTORS, Job, JobResult

STORE_BYTES = 100 * 2**20  # runs pass only a config and a message; Ray's default is a third of the memory
ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


@EXECUTORS.register("ray")
@dataclasses.dataclass(frozen=True)
class Ray:
    """Ray tasks; Ray places them on nodes with free resources and restarts them when a node is lost.

    Every node needs rarefy, the data and the folder of the runs under the same path: a restarted run continues from
    its checkpoint there. Without an address, Ray is started on this machine without dashboard or usage statistics.

    Args:
        workers: Runs at a time; default: as many as fit on the cluster (on this machine: one per core).
        threads: Threads of each run, and the CPUs that it requests; default: 1.
        gpus: GPUs that each run requests; 0.5 puts two runs on one. Default: 1 if any run uses a GPU, else 0.
        max_retries: How often Ray restarts a run that was lost with its node or process.
        address: Address of the cluster: ``auto``, or ``host:port`` written ``host/port`` on a command line.

    Raises:
        ValueError: If a number is out of range.

    References:
        Moritz et al., 2018, "Ray: A Distributed Framework for Emerging AI Applications", arXiv:1712.05889.

    Example:
        >>> EXECUTORS.parse("ray:address=auto:gpus=0.5").gpus
        0.5
    """

    workers: int | None = None
    threads: int | None = None
    gpus: float | None = None
    max_retries: int = 3
    address: str | None = None

    is_remote: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Checks the options."""
        check_counts(self, "workers", "threads")
        if self.max_retries < 0 or (self.gpus or 0) < 0:
            raise InvalidInput(f"max_retries and gpus are 0 or more, got {self.max_retries} and {self.gpus}")

    @contextlib.contextmanager
    def __call__(self, count: int, *, accelerated: bool = False) -> Iterator[TaskPool]:
        """Connects to the cluster or starts Ray on this machine; a connection made here is closed on leaving.

        Raises:
            SweepError: If Ray is not installed.
        """
        ray = import_optional("ray", "ray")
        threads = self.threads or 1
        was_connected = ray.is_initialized()
        if not was_connected:
            self._connect(ray, (self.workers or count_cores()) * threads)
        gpus = float(accelerated) if self.gpus is None else self.gpus
        # max_calls=1: one process per run, so that runs do not share memory
        task = ray.remote(num_cpus=threads, num_gpus=gpus, max_retries=self.max_retries, max_calls=1)(run_job)
        pool = TaskPool(ray, task, self.workers or count, threads)
        try:
            yield pool
        finally:
            pool.close()
            if not was_connected:
                ray.shutdown()

    def _connect(self, ray: Any, cpus: int) -> None:
        """Connects or starts Ray, and restores the caller's SIGTERM handler (Ray's exits)."""
        os.environ.update({name: value for name, value in ENVIRONMENT.items() if name not in os.environ})
        local = {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": STORE_BYTES}
        cluster = {"address": self.address.replace("/", ":")} if self.address else {"address": "local", **local}
        is_main = threading.current_thread() is threading.main_thread()
        before = signal.getsignal(signal.SIGTERM)
        ray.init(**cluster, log_to_driver=False, logging_level="ERROR")
        if is_main:
            signal.signal(signal.SIGTERM, before)


class TaskPool:
    """Ray tasks of one sweep.

    Args:
        ray: The imported library.
        task: The remote function.
        slots: How many tasks are submitted at a time.
        threads: Threads of each task.

    Example:
        >>> TaskPool(None, None, 2, 1).slots
        2
    """

    def __init__(self, ray: Any, task: Any, slots: int, threads: int) -> None:
        self.slots, self.threads = slots, threads
        self._ray, self._task = ray, task
        self._tasks: list[RayTask] = []

    def submit(self, job: Job) -> RayTask:
        """Submits a job to Ray."""
        task = RayTask(self._ray, self._task.remote(job))
        self._tasks.append(task)
        return task

    def close(self) -> None:
        """Cancels running tasks."""
        for task in self._tasks:
            if task.poll() is None:
                task.stop(force=True)


class RayTask:
    """Ray task of one job.

    Args:
        ray: The imported library.
        reference: Ray's object reference.
    """

    def __init__(self, ray: Any, reference: Any) -> None:
        self._ray, self._reference = ray, reference
        self._is_stopped = False

    def poll(self) -> JobResult | None:
        """Returns the result, or None while the task is running."""
        ready, _ = self._ray.wait([self._reference], timeout=0)
        if not ready:
            return None
        try:
            result: JobResult = self._ray.get(self._reference)
        except self._ray.exceptions.RayError as error:
            return JobResult("stopped" if self._is_stopped else "failed", str(error))
        return result

    def stop(self, *, force: bool = False) -> None:
        """Cancels the task; Ray sends SIGINT, on which the run saves and ends."""
        self._is_stopped = True
        self._ray.cancel(self._reference, force=force)
