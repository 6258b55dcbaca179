"""The one loop that all executors share: what is missing goes to the pool, what ended is judged."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rarefy.config import dump
from rarefy.paths import replacing
from rarefy.pipeline import is_held
from rarefy.records import RecordError
from rarefy.sweeps._data import check_data
from rarefy.sweeps._file import SweepRun
from rarefy.sweeps._status import State, Status, is_recorded, survey
from rarefy.sweeps._sweep import End, Executor, Handle, Job, Pool

LOOK_EVERY = 0.25  # seconds between two looks at what goes on
Show = Callable[[Sequence[Status]], None]


def sweep(
    runs: Sequence[SweepRun],
    executor: Executor,
    *,
    out: Path = Path("runs"),
    data_dir: Path = Path("data"),
    retry: int = 0,
    checkpoint_seconds: float = 60.0,
    show: Show = lambda statuses: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[Status]:
    """Trains the runs of a sweep that have no record yet; the records are all that is remembered.

    A run that another process trains is left to it, and taken over if that process ends without a record. A run that
    fails is marked, its last words are in its ``failure.txt``, and the others go on.

    Args:
        runs: What `read_sweep` found.
        executor: Where to train them, such as ``EXECUTORS.build("local", workers=2)``.
        out: Where runs go.
        data_dir: Where data sets are looked for.
        retry: How often a run that failed is started again.
        checkpoint_seconds: Longest time between two checkpoints of a run.
        show: Called with all statuses a few times a second.
        should_stop: Asked as often; runs that go on then save and end.

    Returns:
        The statuses, in the order of the runs.

    Raises:
        SweepError: If the executor cannot work here.
        OtherData: If a run that is done was trained on other data than those in `data_dir`.
        MissingData: If there are runs that are done and their data are not there.

    Example:
        >>> import tempfile
        >>> from rarefy.sweeps import EXECUTORS
        >>> sweep([], EXECUTORS.build("local", workers=1), out=Path(tempfile.mkdtemp()))
        []
    """
    statuses = survey(runs, out)
    show(statuses)
    check_data(statuses, data_dir, is_remote=executor.is_remote)
    missing = [status for status in statuses if not status.state.is_final]
    if not missing:
        return statuses
    accelerated = any(status.run.config.device.startswith("cuda") for status in missing)
    with executor(len(missing), accelerated=accelerated) as pool:
        loop = _Loop(pool, missing, data_dir=data_dir.absolute(), retry=retry, checkpoint_seconds=checkpoint_seconds)
        while loop.turn(stopping=should_stop()):
            show(statuses)
            time.sleep(LOOK_EVERY)
    show(statuses)
    return statuses


class _Loop:
    def __init__(
        self, pool: Pool, missing: list[Status], *, data_dir: Path, retry: int, checkpoint_seconds: float
    ) -> None:
        self._pool, self._waiting = pool, list(missing)
        self._data_dir, self._retry, self._checkpoint_seconds = data_dir, retry, checkpoint_seconds
        self._going: list[tuple[Status, Handle]] = []
        self._is_stopping = False

    def turn(self, *, stopping: bool) -> bool:
        """One look at everything; whether there is more to do."""
        if stopping and not self._is_stopping:
            self._is_stopping = True
            for _, handle in self._going:
                handle.stop()
        for status, handle in list(self._going):
            status.look()
            end = handle.poll()
            if end is not None:
                self._going.remove((status, handle))
                self._judge(status, end)
        if self._is_stopping:
            return bool(self._going)
        self._fill()
        return bool(self._going or self._waiting)

    def _fill(self) -> None:
        """Looks at each waiting run once, and starts those that nobody has while there is room."""
        for status in list(self._waiting):
            if is_recorded(status.paths):
                self._waiting.remove(status)
                self._judge(status, End("done"))
            elif is_held(status.paths):
                status.state = State.ELSEWHERE
                status.look()
            elif len(self._going) < self._pool.slots:
                self._waiting.remove(status)
                self._start(status)
            else:
                status.state = State.WAITING

    def _start(self, status: Status) -> None:
        job = Job(
            values=status.run.config.model_dump(mode="json"),
            folder=status.paths.folder.absolute(),
            data_dir=self._data_dir,
            threads=self._pool.threads,
            checkpoint_seconds=self._checkpoint_seconds,
        )
        status.attempts += 1
        status.state, status.words = State.RUNNING, ""
        self._going.append((status, self._pool.submit(job)))

    def _judge(self, status: Status, end: End) -> None:
        if status.paths.record.is_file():  # whatever its process said after it was written
            try:
                status.finish()
                return
            except RecordError as error:
                end = End("failed", str(error))
        if end.kind == "held":
            status.attempts -= 1
            status.state = State.ELSEWHERE
            self._waiting.append(status)
        elif self._is_stopping:
            status.state = State.STOPPED
        else:
            self._failed(status, end)

    def _failed(self, status: Status, end: End) -> None:
        """Also a run that somebody else stopped, and one that says it is done and left no record."""
        said = end if end.kind != "done" else End("failed", "It ended well, but there is no record.")
        status.words = said.last_line or "It ended without a word."
        with contextlib.suppress(OSError), replacing(status.paths.failure) as partial:  # the disk may be what is full
            partial.write_text(said.words or status.words, encoding="utf-8")
        if not status.paths.config.exists():  # a run that fails before its first step leaves nothing behind
            with contextlib.suppress(OSError), replacing(status.paths.config) as partial:
                partial.write_text(dump(status.run.config), encoding="utf-8")
        if status.attempts <= self._retry:
            status.state = State.WAITING
            self._waiting.append(status)
        else:
            status.state = State.FAILED
