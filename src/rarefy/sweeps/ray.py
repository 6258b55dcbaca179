"""Ray: a task a run, on a cluster's nodes or on this machine alone."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

from rarefy.cores import cores
from rarefy.errors import InvalidInput
from rarefy.sweeps._extra import check_counts, required
from rarefy.sweeps._sweep import EXECUTORS, End, Job
from rarefy.sweeps._work import work

STORE_BYTES = 100 * 2**20  # runs pass a config in and a word out; Ray would take a third of the memory
ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


@EXECUTORS.register("ray")
@dataclasses.dataclass(frozen=True)
class Ray:
    """Tasks of Ray, which places them on nodes with free resources and starts them anew when a node is lost.

    Every node needs rarefy, the data, and the folder of the runs under the same path: a run that is started anew
    goes on from its checkpoint there. Without an address Ray is started on this machine, without dashboard or usage
    statistics.

    Args:
        workers: Runs at a time; default: as many as the cluster has room for (alone: one a core).
        threads: Threads of each, and the CPUs it asks for; default: 1.
        gpus: GPUs that each asks for; 0.5 puts two on one. Default: 1 if any run computes on a GPU, else 0.
        max_retries: How often Ray starts a run anew that was lost with its node or process.
        address: Of the cluster: ``auto``, or ``host:port`` written ``host/port`` on a command line.

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
        """Checks the numbers."""
        check_counts(self, "workers", "threads")
        if self.max_retries < 0 or (self.gpus or 0) < 0:
            raise InvalidInput(f"max_retries and gpus are 0 or more, got {self.max_retries} and {self.gpus}")

    @contextlib.contextmanager
    def __call__(self, count: int, *, accelerated: bool = False) -> Iterator[Tasks]:
        """Connects to the cluster, or starts one here; leaves as it found it.

        Raises:
            SweepError: If Ray is not installed.
        """
        ray = required("ray", "ray")
        threads = self.threads or 1
        was_there = ray.is_initialized()
        if not was_there:
            self._connect(ray, (self.workers or cores()) * threads)
        gpus = float(accelerated) if self.gpus is None else self.gpus
        # max_calls: a process a run, as everywhere, so that one run's memory is not the next one's
        task = ray.remote(num_cpus=threads, num_gpus=gpus, max_retries=self.max_retries, max_calls=1)(work)
        pool = Tasks(ray, task, self.workers or count, threads)
        try:
            yield pool
        finally:
            pool.close()
            if not was_there:
                ray.shutdown()

    def _connect(self, ray: Any, cpus: int) -> None:
        """Starts or joins; the signals stay the caller's (Ray would exit on SIGTERM)."""
        os.environ.update({name: value for name, value in ENVIRONMENT.items() if name not in os.environ})
        here = {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": STORE_BYTES}
        where = {"address": self.address.replace("/", ":")} if self.address else {"address": "local", **here}
        is_main = threading.current_thread() is threading.main_thread()
        before = signal.getsignal(signal.SIGTERM)
        ray.init(**where, log_to_driver=False, logging_level="ERROR")
        if is_main:
            signal.signal(signal.SIGTERM, before)


class Tasks:
    """The tasks that were given to Ray.

    Args:
        ray: The module.
        task: The remote function.
        slots: How many are given at a time.
        threads: Threads of each.

    Example:
        >>> Tasks(None, None, 2, 1).slots
        2
    """

    def __init__(self, ray: Any, task: Any, slots: int, threads: int) -> None:
        self.slots, self.threads = slots, threads
        self._ray, self._task = ray, task
        self._given: list[Task] = []

    def submit(self, job: Job) -> Task:
        """Gives a job to Ray."""
        task = Task(self._ray, self._task.remote(job))
        self._given.append(task)
        return task

    def close(self) -> None:
        """Ends what still goes on."""
        for task in self._given:
            if task.poll() is None:
                task.stop(force=True)


class Task:
    """One run's task.

    Args:
        ray: The module.
        reference: What Ray gave for it.
    """

    def __init__(self, ray: Any, reference: Any) -> None:
        self._ray, self._reference = ray, reference
        self._is_stopped = False

    def poll(self) -> End | None:
        """How it ended; None while it goes on."""
        ready, _ = self._ray.wait([self._reference], timeout=0)
        if not ready:
            return None
        try:
            end: End = self._ray.get(self._reference)
        except self._ray.exceptions.RayError as error:
            return End("stopped" if self._is_stopped else "failed", str(error))
        return end

    def stop(self, *, force: bool = False) -> None:
        """Asks it to save and end; Ray does so with the signal of Ctrl-C."""
        self._is_stopped = True
        self._ray.cancel(self._reference, force=force)
