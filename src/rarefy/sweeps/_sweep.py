"""What a sweep asks of an executor."""

from __future__ import annotations

import dataclasses
import re
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from rarefy.errors import RarefyError
from rarefy.registry import Registry


class SweepError(RarefyError, ValueError):
    """A sweep that cannot be read or carried out; the message says what to do."""


@dataclasses.dataclass(frozen=True)
class Job:
    """One run, in plain values that travel to another process or machine.

    Args:
        values: The run's resolved config.
        folder: Where the run's files go; its name is the run's id.
        data_dir: Where data sets are looked for.
        threads: Threads that it computes with.
        checkpoint_seconds: Longest time between two of its checkpoints.

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
class End:
    r"""How an attempt at a run ended.

    Args:
        kind: ``done``: there is a record. ``held``: another process trains it. ``stopped``: it was asked to stop, and
            saved. ``failed``: it could not go on.
        words: Its last words; of a failure the last line says what was wrong.

    Example:
        >>> End("failed", "Traceback ...\nrarefy.registry.UnknownName: Unknown model 'x'.\n").last_line
        "UnknownName: Unknown model 'x'."
    """

    kind: Literal["done", "held", "stopped", "failed"]
    words: str = ""

    @property
    def last_line(self) -> str:
        """The last line that is not empty; an error's name without its module."""
        line = next((line.strip() for line in reversed(self.words.splitlines()) if line.strip()), "")
        return re.sub(r"^(\w+\.)+(?=\w+: )", "", line)


class Handle(Protocol):
    """An attempt that is under way."""

    def poll(self) -> End | None:
        """How it ended; None while it goes on. Waits for nothing."""
        ...

    def stop(self) -> None:
        """Asks it to save and end; waits for nothing."""
        ...


class Pool(Protocol):
    """Where attempts are made: open processes, a cluster.

    Attributes:
        slots: How many attempts it takes at a time.
        threads: Threads that each of them computes with.
    """

    slots: int
    threads: int

    def submit(self, job: Job) -> Handle:
        """Starts an attempt, or puts it into the cluster's own queue."""
        ...


class Executor(Protocol):
    """A way to carry out a sweep's runs; its fields are its options, `workers` and `threads` among them.

    Attributes:
        is_remote: Whether runs may compute on other machines, with devices that this one has not.
        workers: Runs at a time; None: as many as there is room for.
        threads: Threads of each; None: what one worker's share of the machine is.
    """

    is_remote: ClassVar[bool]
    workers: int | None
    threads: int | None

    def __call__(self, count: int, *, accelerated: bool = False) -> AbstractContextManager[Pool]:
        """Opens it for `count` runs; leaving the context ends what still goes on.

        Args:
            count: Runs that are missing.
            accelerated: Whether any of them computes on a GPU.
        """
        ...


EXECUTORS = Registry[Executor]("executor", "executors")
