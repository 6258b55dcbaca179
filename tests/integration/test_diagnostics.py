"""--diagnostics: documented names in every line of the history, also after an interruption."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rarefy.config import Config
from rarefy.pipeline import run
from rarefy.records import Epoch
from rarefy.training import Event, Interrupted, State

NAMES = {"exploration_rate", "effective_density", "gradient_norm_kept", "gradient_norm_pruned", "mask_overlap"}


def config(diagnostics: bool) -> Config:
    data = {"name": "synthetic", "height": 8, "width": 8, "train": 128, "validation": 32, "test": 32}
    training = {"epochs": 3, "batch_size": 32, "diagnostics": diagnostics}
    topology = {"name": "rigl", "interval": 2}
    values = {"data": data, "model": "cifar_resnet_8_4", "topology": topology, "training": training}
    return Config.from_values({**values, "density": 0.3, "allocation": "uniform"})


def test_the_history_has_them_all_under_documented_names(tmp_path: Path) -> None:
    record = run(config(True), out=tmp_path)
    rows = [json.loads(line) for line in (tmp_path / record.id / "history.jsonl").read_text().splitlines()]
    for row in rows:
        assert NAMES | {"active_outputs", "active_inputs"} <= set(row)
        assert set(row) <= set(Epoch.model_fields)
        assert 0 < row["effective_density"] <= record.density
        assert record.density < row["exploration_rate"] <= 1


def test_they_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    record = run(config(False), out=tmp_path)
    row = json.loads((tmp_path / record.id / "history.jsonl").read_text().splitlines()[-1])
    assert NAMES & set(row) == {"exploration_rate"}


def test_stopped_after_the_last_step_of_an_epoch_the_numbers_are_still_there(tmp_path: Path) -> None:
    whole = run(config(True), out=tmp_path / "whole")
    steps: list[int] = []

    def count(event: Event, state: State) -> None:
        steps.extend([state.step] if event is Event.STEP else [])

    with pytest.raises(Interrupted):
        run(config(True), out=tmp_path / "stopped", callbacks=[count], should_stop=lambda: len(steps) == 4)
    again = run(config(True), out=tmp_path / "stopped")
    timed = {"seconds": 0.0, "data_seconds": 0.0}
    assert [row.model_copy(update=timed) for row in again.history] == [
        row.model_copy(update=timed) for row in whole.history
    ]
