"""Trains missing runs on any executor: submits them, polls them and records their results."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rarefy.config import dump_config
from rarefy.paths import replace_file
from rarefy.pipeline import is_held
from rarefy.records import RecordError
from rarefy.sweeps._data import check_data
from rarefy.sweeps._file import SweepRun
from rarefy.sweeps._status import RunState, Status, is_recorded, read_statuses
from rarefy.sweeps._sweep import Executor, Handle, Job, JobResult, Pool

POLL_SECONDS = 0.25  # between two polls of the running jobs
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
    """Trains the runs of a sweep that have no record yet; there is no state besides the records.

    A run that another process trains is left to it, and taken over if that process ends without a record. If a run
    fails, its error is written to its ``failure.txt`` and the other runs continue.

    Args:
        runs: What `read_sweep` returned.
        executor: Trains them, such as ``EXECUTORS.build("local", workers=2)``.
        out: Parent folder of the runs.
        data_dir: Folder of the data sets.
        retry: How often a failed run is restarted.
        checkpoint_seconds: Longest time between two checkpoints of a run.
        show: Called with all statuses a few times a second.
        should_stop: Called as often; if it returns True, running jobs save and end.

    Returns:
        The statuses, in the order of the runs.

    Raises:
        SweepError: If the executor is not usable on this machine.
        OtherData: If a finished run was trained on other data than those in `data_dir`.
        MissingData: If the data of a finished run are missing.

    Example:
        >>> import tempfile
        >>> from rarefy.sweeps import EXECUTORS
        >>> sweep([], EXECUTORS.build("local", workers=1), out=Path(tempfile.mkdtemp()))
        []
    """
    statuses = read_statuses(runs, out)
    show(statuses)
    check_data(statuses, data_dir, is_remote=executor.is_remote)
    missing = [status for status in statuses if not status.state.is_final]
    if not missing:
        return statuses
    accelerated = any(status.run.config.device.startswith("cuda") for status in missing)
    with executor(len(missing), accelerated=accelerated) as pool:
        loop = _Loop(pool, missing, data_dir=data_dir.absolute(), retry=retry, checkpoint_seconds=checkpoint_seconds)
        while loop.poll(stopping=should_stop()):
            show(statuses)
            time.sleep(POLL_SECONDS)
    show(statuses)
    return statuses


class _Loop:
    def __init__(
        self, pool: Pool, missing: list[Status], *, data_dir: Path, retry: int, checkpoint_seconds: float
    ) -> None:
        self._pool, self._waiting = pool, list(missing)
        self._data_dir, self._retry, self._checkpoint_seconds = data_dir, retry, checkpoint_seconds
        self._running: list[tuple[Status, Handle]] = []
        self._is_stopping = False

    def poll(self, *, stopping: bool) -> bool:
        """Polls all jobs and starts waiting runs; returns whether anything is left to do."""
        if stopping and not self._is_stopping:
            self._is_stopping = True
            for _, handle in self._running:
                handle.stop()
        for status, handle in list(self._running):
            status.read_progress()
            result = handle.poll()
            if result is not None:
                self._running.remove((status, handle))
                self._finish(status, result)
        if self._is_stopping:
            return bool(self._running)
        self._start_waiting()
        return bool(self._running or self._waiting)

    def _start_waiting(self) -> None:
        """Checks each waiting run once and starts those that no other process trains, up to the pool's slots."""
        for status in list(self._waiting):
            if is_recorded(status.paths):
                self._waiting.remove(status)
                self._finish(status, JobResult("done"))
            elif is_held(status.paths):
                status.state = RunState.ELSEWHERE
                status.read_progress()
            elif len(self._running) < self._pool.slots:
                self._waiting.remove(status)
                self._start(status)
            else:
                status.state = RunState.WAITING

    def _start(self, status: Status) -> None:
        job = Job(
            values=status.run.config.model_dump(mode="json"),
            folder=status.paths.folder.absolute(),
            data_dir=self._data_dir,
            threads=self._pool.threads,
            checkpoint_seconds=self._checkpoint_seconds,
        )
        status.attempts += 1
        status.state, status.message = RunState.RUNNING, ""
        self._running.append((status, self._pool.submit(job)))

    def _finish(self, status: Status, result: JobResult) -> None:
        if status.paths.record.is_file():  # counts even if the process failed after writing it
            try:
                status.read_record()
                return
            except RecordError as error:
                result = JobResult("failed", str(error))
        if result.kind == "held":
            status.attempts -= 1
            status.state = RunState.ELSEWHERE
            self._waiting.append(status)
        elif self._is_stopping:
            status.state = RunState.STOPPED
        else:
            self._mark_failed(status, result)

    def _mark_failed(self, status: Status, result: JobResult) -> None:
        """Writes the error and marks the run; also if it was stopped from outside, or is done without a record."""
        if result.kind == "done":
            result = JobResult("failed", "It ended without an error, but there is no record.")
        status.message = result.last_line or "It ended without a message."
        with contextlib.suppress(OSError), replace_file(status.paths.failure) as partial:  # the disk may be full
            partial.write_text(result.message or status.message, encoding="utf-8")
        if not status.paths.config.exists():  # the run failed before it wrote its config
            with contextlib.suppress(OSError), replace_file(status.paths.config) as partial:
                partial.write_text(dump_config(status.run.config), encoding="utf-8")
        if status.attempts <= self._retry:
            status.state = RunState.WAITING
            self._waiting.append(status)
        else:
            status.state = RunState.FAILED
