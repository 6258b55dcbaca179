"""State and progress of each run of a sweep, read from its files."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable
from pathlib import Path

from rarefy import records
from rarefy.paths import RunPaths
from rarefy.pipeline import is_held
from rarefy.sweeps._file import SweepRun
from rarefy.sweeps._sweep import JobResult


class RunState(enum.StrEnum):
    """State of a run of a sweep.

    Example:
        >>> RunState("done").is_final
        True
    """

    WAITING = "waiting"
    RUNNING = "running"
    ELSEWHERE = "elsewhere"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """Whether this sweep has nothing more to do with it."""
        return self in (RunState.DONE, RunState.FAILED)


@dataclasses.dataclass
class Status:
    """State and progress of one run of a sweep.

    Args:
        run: The run.
        paths: Its files.
        state: ``elsewhere`` means that another process trains the run.
        epoch: Epochs done.
        accuracy: On the validation split after the last epoch; on the test split once the run is done; None before.
        seconds_per_epoch: Mean over the epochs done.
        attempts: How often this sweep has started the run.
        message: Error of the last failed attempt.
        notes: The run's warnings, once it is done.
        fingerprint: Of its data, once the run is done; None if unknown.

    Example:
        >>> from rarefy.config import Config
        >>> status = Status(SweepRun("3f2a9c1b77de", Config()), RunPaths(Path("runs/3f2a9c1b77de")))
        >>> status.epochs, status.state.value, status.seconds_left
        (160, 'waiting', None)
    """

    run: SweepRun
    paths: RunPaths
    state: RunState = RunState.WAITING
    epoch: int = 0
    accuracy: float | None = None
    seconds_per_epoch: float | None = None
    attempts: int = 0
    message: str = ""
    notes: tuple[str, ...] = ()
    fingerprint: str | None = None

    @property
    def epochs(self) -> int:
        """Epochs of the finished run."""
        return self.run.config.training.epochs

    @property
    def seconds_left(self) -> float | None:
        """Remaining training time at the pace so far; None while unknown."""
        if self.seconds_per_epoch is None or self.state.is_final:
            return None
        return self.seconds_per_epoch * (self.epochs - self.epoch)

    def read_progress(self) -> None:
        """Reads the progress from the run's history."""
        rows = records.read_history(self.paths.history)
        self.epoch = len(rows)
        if rows:
            self.accuracy = rows[-1].validation_accuracy
            self.seconds_per_epoch = sum(row.seconds for row in rows) / len(rows)

    def read_record(self) -> None:
        """Reads the results from the run's record.

        Raises:
            RecordError: If it cannot be read.
        """
        record = records.read(self.paths.record)
        self.state, self.message = RunState.DONE, ""
        self.epoch, self.accuracy = len(record.history), record.metrics["test"]["accuracy"]
        self.seconds_per_epoch = record.timing.seconds_per_epoch
        self.notes, self.fingerprint = record.notes, record.fingerprint
        self.paths.failure.unlink(missing_ok=True)


def is_recorded(paths: RunPaths) -> bool:
    """Returns whether a run has a valid record; a run with a damaged one is trained again.

    Example:
        >>> is_recorded(RunPaths(Path("nowhere")))
        False
    """
    try:
        return paths.record.is_file() and bool(records.read(paths.record))
    except records.RecordDamaged:
        return False


def read_statuses(runs: Iterable[SweepRun], out: Path) -> list[Status]:
    """Reads the status of each run: finished, trained by another process, or waiting.

    Raises:
        RecordError: If a newer rarefy wrote a record.

    Example:
        >>> from rarefy.config import Config
        >>> [status.state.value for status in read_statuses([SweepRun("3f2a9c1b77de", Config())], Path("nowhere"))]
        ['waiting']
    """
    statuses = [Status(run, RunPaths(out / run.id)) for run in runs]
    for status in statuses:
        if is_recorded(status.paths):
            status.read_record()
        else:
            status.read_progress()
            status.state = RunState.ELSEWHERE if is_held(status.paths) else RunState.WAITING
            if status.paths.failure.is_file():
                status.message = JobResult(
                    "failed", status.paths.failure.read_text(encoding="utf-8", errors="replace")
                ).last_line
    return statuses
