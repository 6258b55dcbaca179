"""Callback that updates trackers and tolerates their failures."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rarefy.training._state import Event, State
from rarefy.training.trackers._registry import TRACKERS, Session, TrackedRun, Tracker

_LOG = logging.getLogger("rarefy")


class TrackerCallback:
    """Sends every epoch to the trackers, and the scores at the end.

    Trackers are synchronised with the history: only missing epochs are logged, so that a resumed run has no gaps and no
    duplicates. If a tracker fails, a warning is logged and it is not used until the end of the training, where it is
    tried once more; its failures never end a training.

    Args:
        trackers: The trackers.
        run: The run they track.

    Example:
        >>> from pathlib import Path
        >>> TrackerCallback([], TrackedRun("3f2a9c1b77de", Path("runs/3f2a9c1b77de"), {})).finish([], {"accuracy": 0.9})
    """

    def __init__(self, trackers: Sequence[Tracker], run: TrackedRun) -> None:
        self._synchronizers = [_Synchronizer(tracker, run) for tracker in trackers]

    def __call__(self, event: Event, state: State) -> None:
        """Updates the trackers; after a training that ends early their runs can be continued."""
        for synchronizer in self._synchronizers:
            if event in (Event.START, Event.EPOCH):
                synchronizer.update(state.history)
            elif event is Event.END and state.epoch < state.settings.values.epochs:
                synchronizer.stop()

    def finish(self, history: Sequence[Mapping[str, Any]], scores: Mapping[str, Any]) -> None:
        """Updates the trackers with a finished run; trackers that already have it do not change.

        Args:
            history: All epochs, as in the record.
            scores: Metrics on the test split; only numbers are logged. ``accuracy`` is logged as ``test_accuracy``.
        """
        for synchronizer in self._synchronizers:
            synchronizer.finish(history, {f"test_{name}": value for name, value in _select_numbers(scores).items()})


class _Synchronizer:
    """Synchronises one tracker and records whether it has failed."""

    def __init__(self, tracker: Tracker, run: TrackedRun) -> None:
        self._tracker, self._run = tracker, run
        self._session: Session | None = None
        self._logged_epochs = 0
        self._failed = False

    def update(self, history: Sequence[Mapping[str, Any]]) -> None:
        if not self._failed:
            with self._catch_errors("It is tried once more when the training ends."):
                self._catch_up(history)

    def finish(self, history: Sequence[Mapping[str, Any]], scores: Mapping[str, float]) -> None:
        with self._catch_errors("The same command, given again, updates it from the record."):
            session = self._catch_up(history)
            session.result(len(history), scores)
            session.close(finished=True)
            self._session = None

    def stop(self) -> None:
        if self._session is not None:
            with self._catch_errors("The run itself is saved."):
                session, self._session = self._session, None
                session.close(finished=False)

    def _catch_up(self, history: Sequence[Mapping[str, Any]]) -> Session:
        if self._session is None:
            self._session = self._tracker.open(self._run)
            self._logged_epochs = self._session.done
        for row in history:
            if row["epoch"] > self._logged_epochs:
                self._session.log(row["epoch"], _select_numbers(row))
                self._logged_epochs = row["epoch"]
        return self._session

    @contextlib.contextmanager
    def _catch_errors(self, remedy: str) -> Iterator[None]:
        """Context that turns an error into a warning; the next session checks what was written."""
        try:
            yield
        except Exception as error:  # trackers use disks and servers: any error is possible
            self._failed = True
            name = TRACKERS.name_of(self._tracker)
            details = (name, type(error).__name__, error, remedy)
            _LOG.warning("the tracker %s failed, the run continues: %s: %s. %s", *details, extra={"noted": False})
            session, self._session = self._session, None
            with contextlib.suppress(Exception):
                if session is not None:
                    session.close(finished=False)


def _select_numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """Selects the finite numbers, without the epoch."""
    plain = {name: value for name, value in values.items() if isinstance(value, int | float) and name != "epoch"}
    return {name: value for name, value in plain.items() if not isinstance(value, bool) and math.isfinite(value)}
