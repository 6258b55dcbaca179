"""Promises over every tracker, and of the callback that feeds them: no gap, no point twice, no training lost."""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
from typing import ClassVar

import pytest

from rarefy.registry import UnknownName
from rarefy.training import TRACKERS, TrackerError, parse_trackers
from rarefy.training.trackers import Session, TrackedRun

SCORES = {"test_accuracy": 0.75, "test_images": 16}


@dataclasses.dataclass
class Store:
    """A tracker in memory that fails when it is told to."""

    package: ClassVar[str] = "json"
    points: list = dataclasses.field(default_factory=list)
    scores: list = dataclasses.field(default_factory=list)
    calls: list = dataclasses.field(default_factory=list)
    broken: set = dataclasses.field(default_factory=set)

    def open(self, run: TrackedRun) -> Session:
        self._maybe_fail("open")
        return Opened(self, max((epoch for epoch, _ in self.points), default=0))

    def _maybe_fail(self, what: str) -> None:
        self.calls.append(what)
        if what in self.broken:
            raise ConnectionError(f"no {what} today")


@dataclasses.dataclass
class Opened:
    store: Store
    done: int

    def log(self, epoch, values):
        self.store._maybe_fail("log")
        self.store._maybe_fail(f"log {epoch}")
        self.store.points.append((epoch, values))

    def result(self, epoch, scores):
        self.store._maybe_fail("result")
        self.store.scores.append(scores)

    def close(self, *, finished):
        self.store._maybe_fail("close")
        self.store.calls.append("finished" if finished else "left open")


@pytest.fixture
def store(monkeypatch) -> Store:
    monkeypatch.setitem(TRACKERS._methods, "store", ("store", Store))
    return Store()


@pytest.fixture
def warnings(caplog):
    caplog.set_level(logging.WARNING, "rarefy")
    return lambda: [record.getMessage() for record in caplog.records]


def test_the_callback_tells_numbers_and_nothing_else(play, store):
    play(store)
    assert store.points == [(epoch, {"train_loss": 1 / epoch, "lr": 0.1}) for epoch in (1, 2, 3, 4)]
    assert store.scores == [SCORES]
    assert store.calls[-1] == "finished"


@pytest.mark.parametrize("checkpoint", [0, 1, 2, 3])
def test_a_resumed_run_has_no_gap_and_no_point_twice(play, store, checkpoint):
    play(store, until=2, stop=True)
    assert store.calls[-1] == "left open"
    play(store, history=checkpoint)
    assert [epoch for epoch, _ in store.points] == [1, 2, 3, 4]


@pytest.mark.parametrize("broken", ["open", "log", "log 1", "log 3", "result", "close"])
def test_a_tracker_that_fails_is_said_and_the_training_goes_on(play, store, warnings, broken):
    store.broken = {broken}
    play(store)
    assert len(play.history) == 4
    said = warnings()
    assert 1 <= len(said) <= 2, "once when it happens, once if the last chance fails, too"
    assert f"the tracker store failed, the run continues: ConnectionError: no {broken} today" in said[0]
    assert "given again" in said[-1]
    assert len(store.calls) <= 15, "a tracker that failed is left alone until the end"


def test_a_failure_that_passes_is_made_good_at_the_end(play, store, warnings):
    store.broken = {"log 2"}
    play(store, until=3)
    tracking = play(store, until=3)
    store.broken = set()
    tracking.finish(play.history, {"accuracy": 0.75})
    assert [epoch for epoch, _ in store.points] == [1, 2, 3]
    assert all("tried once more when the training ends" in text for text in warnings())


def test_what_a_person_stops_is_stopped(play, store, monkeypatch):
    monkeypatch.setattr(Store, "open", lambda self, run: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        play(store)


@pytest.mark.parametrize("name", TRACKERS.names())
def test_a_package_that_is_not_there_is_said_before_anything_is_trained(name, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None)
    with pytest.raises(TrackerError, match=rf"'{name}' needs the package {name}.*pip install .*\[{name}\]"):
        parse_trackers(name)


@pytest.mark.parametrize("name", TRACKERS.names())
def test_a_name_and_its_options(name, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: package)
    assert parse_trackers(name) == [TRACKERS.build(name)]
    with pytest.raises(TrackerError, match="named twice"):
        parse_trackers(f"{name},{name}")
    with pytest.raises(ValueError, match="has no option 'nope'"):
        parse_trackers(f"{name}:nope=1")


def test_several_with_options(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: package)
    built = parse_trackers("tensorboard, mlflow:experiment=depth:database=/data/m.db ,wandb:mode=online")
    assert [TRACKERS.name_of(tracker) for tracker in built] == ["tensorboard", "mlflow", "wandb"]
    assert (built[1].database, built[2].mode) == ("/data/m.db", "online")
    with pytest.raises(ValueError, match=r"'mode' .* cannot be 'maybe'"):
        parse_trackers("wandb:mode=maybe")
    with pytest.raises(UnknownName, match="Did you mean 'tensorboard'"):
        parse_trackers("tensorbord")
