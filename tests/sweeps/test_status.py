"""How far a run is, from files written here by hand."""

from __future__ import annotations

import json

from rarefy.pipeline._folder import claim_folder
from rarefy.sweeps import read_statuses


def test_epochs_accuracy_and_time_left_come_from_the_history(runs, tmp_path):
    (wanted,) = runs(1)
    folder = tmp_path / wanted.id
    folder.mkdir()
    rest = {"train_loss": 1.0, "train_accuracy": 0.5, "lr": 0.1, "data_seconds": 0.0}
    rows = [{"epoch": 1, "seconds": 3.0, "validation_accuracy": 0.25, **rest}]
    (folder / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"epoch": 2, "sec')
    (status,) = read_statuses([wanted], tmp_path)
    assert (status.state.value, status.epoch, status.epochs, status.accuracy) == ("waiting", 1, 2, 0.25)
    assert status.seconds_left == 3.0, "one of two epochs is left, and an epoch took 3 s"


def test_nothing_there_is_waiting_and_unknown(runs, tmp_path):
    (status,) = read_statuses(runs(1), tmp_path)
    assert (status.state.value, status.epoch, status.accuracy, status.seconds_left) == ("waiting", 0, None, None)
    assert list(tmp_path.glob("*/")) == [], "looking leaves nothing behind"


def test_one_that_is_held_is_elsewhere(runs, tmp_path):
    (status,) = read_statuses(wanted := runs(1), tmp_path)
    with claim_folder(status.paths):
        assert read_statuses(wanted, tmp_path)[0].state.value == "elsewhere"
    assert read_statuses(wanted, tmp_path)[0].state.value == "waiting"
