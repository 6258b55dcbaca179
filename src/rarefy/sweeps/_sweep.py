"""Protocols of executors: pools of jobs and their results."""

from __future__ import annotations

import dataclasses
import re
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from rarefy.errors import RarefyError
from rarefy.registry import Registry


class SweepError(RarefyError, ValueError):
    """A sweep that cannot be read or run; the message says what to do."""


@dataclasses.dataclass(frozen=True)
class Job:
    """One run as plain values that can be sent to another process or machine.

    Args:
        values: The run's resolved config.
        folder: The run's folder; its name is the run's id.
        data_dir: Folder of the data sets.
        threads: Threads of the run.
        checkpoint_seconds: Longest time between two checkpoints.

    Example:
        >>> Job({}, Path("runs/3f2a9c1b77de"), Path("data")).folder.name
        '3f2a9c1b77de'
    """

    values: dict[str, Any]
    folder: Path
    data_dir: Path
    threads: int = 1
    checkpoint_seconds: float = 60.0


@dataclasses.dataclass(frozen=True)
class JobResult:
    r"""Result of one attempt at a run.

    Args:
        kind: ``done``: there is a record. ``held``: another process trains the run. ``stopped``: it saved and stopped
            on request. ``failed``: an error.
        message: End of its output; the last line of a failure is the error.

    Example:
        >>> JobResult("failed", "Traceback ...\nrarefy.registry.UnknownName: Unknown model 'x'.\n").last_line
        "UnknownName: Unknown model 'x'."
    """

    kind: Literal["done", "held", "stopped", "failed"]
    message: str = ""

    @property
    def last_line(self) -> str:
        """The last line that is not empty, with the error's class name but not its module."""
        line = next((line.strip() for line in reversed(self.message.splitlines()) if line.strip()), "")
        return re.sub(r"^(\w+\.)+(?=\w+: )", "", line)


class Handle(Protocol):
    """A running attempt."""

    def poll(self) -> JobResult | None:
        """Returns the result, or None while the attempt is running; does not block."""
        ...

    def stop(self) -> None:
        """Requests that the attempt saves and ends; does not block."""
        ...


class Pool(Protocol):
    """Runs attempts: local processes, a cluster.

    Attributes:
        slots: How many attempts run at a time.
        threads: Threads of each attempt.
    """

    slots: int
    threads: int

    def submit(self, job: Job) -> Handle:
        """Starts an attempt, or adds it to the cluster's queue."""
        ...


class Executor(Protocol):
    """A method that trains the runs of a sweep; its fields are its options, including `workers` and `threads`.

    Attributes:
        is_remote: Whether runs may use other machines, with devices that this one lacks.
        workers: Runs at a time; None: as many as fit.
        threads: Threads of each run; None: the cores divided by the workers.
    """

    is_remote: ClassVar[bool]
    workers: int | None
    threads: int | None

    def __call__(self, count: int, *, accelerated: bool = False) -> AbstractContextManager[Pool]:
        """Opens a pool for `count` runs; leaving the context ends the attempts that still run.

        Args:
            count: Number of missing runs.
            accelerated: Whether any of them uses a GPU.
        """
        ...


EXECUTORS = Registry[Executor]("executor", "executors")
