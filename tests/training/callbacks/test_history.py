"""history.jsonl: a line an epoch, there as soon as the epoch is over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rarefy.training import Event, HistoryFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "history.jsonl"


def rows(path: Path) -> list[dict]:
    text = path.read_text()
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_an_epoch_flushed_as_it_happens(path, state, close_epoch):
    writes = HistoryFile(path)
    writes(Event.START, state)
    assert rows(path) == []
    for _ in range(3):
        writes(Event.STEP, state)
        close_epoch(state)
        writes(Event.EPOCH, state)
        assert rows(path) == state.history
    writes(Event.END, state)
    assert [row["epoch"] for row in rows(path)] == [1, 2, 3]


def test_a_resumed_run_drops_what_its_checkpoint_does_not_know(path, state, close_epoch):
    path.parent.mkdir()
    path.write_text('{"epoch": 1}\n{"epoch": 2}\n{"epo')  # killed after the line and before the checkpoint
    close_epoch(state)
    writes = HistoryFile(path)
    writes(Event.START, state)
    assert rows(path) == state.history
    close_epoch(state)
    writes(Event.EPOCH, state)
    assert [row["epoch"] for row in rows(path)] == [1, 2]


@pytest.mark.parametrize("event", [Event.STEP, Event.STOP, Event.END])
def test_other_events_write_nothing(path, state, event):
    HistoryFile(path)(event, state)
    assert not path.exists()
