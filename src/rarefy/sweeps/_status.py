"""How far each run of a sweep is, read from the files it writes."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable
from pathlib import Path

from rarefy import records
from rarefy.paths import RunPaths
from rarefy.pipeline import is_held
from rarefy.sweeps._file import SweepRun
from rarefy.sweeps._sweep import End


class State(enum.StrEnum):
    """What is known of a run.

    Example:
        >>> State("done").is_final
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
        return self in (State.DONE, State.FAILED)


@dataclasses.dataclass
class Status:
    """One run of a sweep, as far as it is.

    Args:
        run: The run.
        paths: Its files.
        state: ``elsewhere`` is a run that another process trains.
        epoch: Epochs done.
        accuracy: Of the validation split after the last epoch; of the test split once it is done. None: not known yet.
        seconds_per_epoch: Mean over the epochs done.
        attempts: How often this sweep has started it.
        words: What its last attempt said as it failed.
        notes: What it warned about, once it is done.
        fingerprint: Of its data, once it is done; None: not known.

    Example:
        >>> from rarefy.config import Config
        >>> status = Status(SweepRun("3f2a9c1b77de", Config()), RunPaths(Path("runs/3f2a9c1b77de")))
        >>> status.epochs, status.state.value, status.seconds_left
        (160, 'waiting', None)
    """

    run: SweepRun
    paths: RunPaths
    state: State = State.WAITING
    epoch: int = 0
    accuracy: float | None = None
    seconds_per_epoch: float | None = None
    attempts: int = 0
    words: str = ""
    notes: tuple[str, ...] = ()
    fingerprint: str | None = None

    @property
    def epochs(self) -> int:
        """Epochs it will have."""
        return self.run.config.training.epochs

    @property
    def seconds_left(self) -> float | None:
        """Time its training still takes at its own pace; None while that is not known."""
        if self.seconds_per_epoch is None or self.state.is_final:
            return None
        return self.seconds_per_epoch * (self.epochs - self.epoch)

    def look(self) -> None:
        """Reads from the run's files how far it is."""
        rows = records.read_history(self.paths.history)
        self.epoch = len(rows)
        if rows:
            self.accuracy = rows[-1].validation_accuracy
            self.seconds_per_epoch = sum(row.seconds for row in rows) / len(rows)

    def finish(self) -> None:
        """Takes what the record says.

        Raises:
            RecordError: If it cannot be read.
        """
        record = records.read(self.paths.record)
        self.state, self.words = State.DONE, ""
        self.epoch, self.accuracy = len(record.history), record.metrics["test"]["accuracy"]
        self.seconds_per_epoch = record.timing.seconds_per_epoch
        self.notes, self.fingerprint = record.notes, record.fingerprint
        self.paths.failure.unlink(missing_ok=True)


def is_recorded(paths: RunPaths) -> bool:
    """Tells whether a run has a record; a damaged one does not count, for the run is then trained again.

    Example:
        >>> is_recorded(RunPaths(Path("nowhere")))
        False
    """
    try:
        return paths.record.is_file() and bool(records.read(paths.record))
    except records.RecordDamaged:
        return False


def survey(runs: Iterable[SweepRun], out: Path) -> list[Status]:
    """What is there of each run: its record, its training in another process, or neither.

    Raises:
        RecordError: If a newer rarefy wrote a record.

    Example:
        >>> from rarefy.config import Config
        >>> [status.state.value for status in survey([SweepRun("3f2a9c1b77de", Config())], Path("nowhere"))]
        ['waiting']
    """
    found = [Status(run, RunPaths(out / run.id)) for run in runs]
    for status in found:
        if is_recorded(status.paths):
            status.finish()
        else:
            status.look()
            status.state = State.ELSEWHERE if is_held(status.paths) else State.WAITING
            if status.paths.failure.is_file():
                status.words = End(
                    "failed", status.paths.failure.read_text(encoding="utf-8", errors="replace")
                ).last_line
    return found
