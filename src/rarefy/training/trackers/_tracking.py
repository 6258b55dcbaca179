"""The callback that keeps trackers up to date, and a training alive when one of them fails."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rarefy.training._state import Event, State
from rarefy.training.trackers._registry import TRACKERS, Session, TrackedRun, Tracker

_LOG = logging.getLogger("rarefy")


class Tracking:
    """Tells trackers every epoch, and at the end the scores.

    A tracker is brought up to date from the history, not told of events: what it lacks is logged and what it holds is
    not, so that a resumed run has no gap and no point twice. A tracker that fails is warned about once and left alone
    until the end of the training, where it gets one more chance to catch up; no failure of it ends a training.

    Args:
        trackers: The trackers.
        run: The run they track.

    Example:
        >>> from pathlib import Path
        >>> Tracking([], TrackedRun("3f2a9c1b77de", Path("runs/3f2a9c1b77de"), {})).finish([], {"accuracy": 0.9})
    """

    def __init__(self, trackers: Sequence[Tracker], run: TrackedRun) -> None:
        self._followers = [_Follower(tracker, run) for tracker in trackers]

    def __call__(self, event: Event, state: State) -> None:
        """Brings the trackers up to date; a training that ends early leaves them open for the next time."""
        for follower in self._followers:
            if event in (Event.START, Event.EPOCH):
                follower.follow(state.history)
            elif event is Event.END and state.epoch < state.settings.values.epochs:
                follower.stop()

    def finish(self, history: Sequence[Mapping[str, Any]], scores: Mapping[str, Any]) -> None:
        """Brings the trackers up to date with a finished run; changes nothing where they are.

        Args:
            history: All epochs, as in the record.
            scores: Metrics on the test split; what is not a number is left out. ``accuracy`` is ``test_accuracy``.
        """
        for follower in self._followers:
            follower.finish(history, {f"test_{name}": value for name, value in _numbers(scores).items()})


class _Follower:
    """One tracker, its session, and whether it has failed."""

    def __init__(self, tracker: Tracker, run: TrackedRun) -> None:
        self._tracker, self._run = tracker, run
        self._session: Session | None = None
        self._done = 0
        self._failed = False

    def follow(self, history: Sequence[Mapping[str, Any]]) -> None:
        if not self._failed:
            with self._guarded("It is tried once more when the training ends."):
                self._catch_up(history)

    def finish(self, history: Sequence[Mapping[str, Any]], scores: Mapping[str, float]) -> None:
        with self._guarded("The same command, given again, brings it up to date from the record."):
            session = self._catch_up(history)
            session.result(len(history), scores)
            session.close(finished=True)
            self._session = None

    def stop(self) -> None:
        if self._session is not None:
            with self._guarded("The run itself is saved."):
                session, self._session = self._session, None
                session.close(finished=False)

    def _catch_up(self, history: Sequence[Mapping[str, Any]]) -> Session:
        if self._session is None:
            self._session = self._tracker.open(self._run)
            self._done = self._session.done
        for row in history:
            if row["epoch"] > self._done:
                self._session.log(row["epoch"], _numbers(row))
                self._done = row["epoch"]
        return self._session

    @contextlib.contextmanager
    def _guarded(self, remedy: str) -> Iterator[None]:
        """Turns a failure into a warning; whatever it left half done is looked at anew by the next session."""
        try:
            yield
        except Exception as error:  # a library of others that talks to disks and servers: anything can come
            self._failed = True
            name = TRACKERS.name_of(self._tracker)
            told = (name, type(error).__name__, error, remedy)
            _LOG.warning("the tracker %s failed, the run goes on: %s: %s. %s", *told, extra={"noted": False})
            session, self._session = self._session, None
            with contextlib.suppress(Exception):
                if session is not None:
                    session.close(finished=False)


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """What can be drawn as a point; the epoch itself is the axis."""
    plain = {name: value for name, value in values.items() if isinstance(value, int | float) and name != "epoch"}
    return {name: value for name, value in plain.items() if not isinstance(value, bool) and math.isfinite(value)}
