"""`rarefy.frame`: what a DataFrame holds is what the records hold."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import rarefy
from rarefy.errors import InvalidInput, MissingPackage
from rarefy.records import RecordError, write

pytest.importorskip("pandas", reason="pandas is not installed")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def runs(make, tmp_path):
    for name, accuracy in (("a", 0.5), ("b", 0.7)):
        write(make(name, metrics={"test": {"accuracy": accuracy}}), tmp_path / "runs" / name / "record.json")
    return tmp_path / "runs"


def test_a_row_per_run(runs):
    frame = rarefy.frame(runs)
    assert frame.index.name == "id" and frame.index.tolist() == ["a", "b"]
    assert frame["accuracy"].tolist() == [0.5, 0.7] == frame["metrics.test.accuracy"].tolist()
    assert frame.loc["b", ["allocation", "density", "kept", "disk"]].tolist() == ["erk", 0.25, 8, 1234]
    assert frame.loc["a", "folder"] == str(runs / "a")
    assert frame["timing.seconds_per_epoch"].tolist() == [1.25, 1.25]
    assert frame.columns.is_unique and not {"history", "layers"} & set(frame.columns)
    assert frame.groupby("allocation")["accuracy"].mean().to_dict() == {"erk": pytest.approx(0.6)}


def test_epochs_and_layers(runs):
    epochs = rarefy.frame(str(runs), rows="epochs")
    assert epochs.index.tolist() == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]
    assert epochs.loc[("b", 2), ["train_loss", "of_a_callback"]].tolist() == [0.1 + 0.2, 3]
    layers = rarefy.frame(runs, rows="layers")
    assert layers["kept"].groupby("id").sum().tolist() == [8, 8]
    assert layers.loc[("a", "fc2.weight"), "shape"] == [2, 4]


def test_real_records():
    frame = rarefy.frame(ROOT / "experiments" / "results")
    assert set(frame["model"]) == {"cifar_resnet_20_16"}
    assert frame.loc["465feb064986", ["density", "kept", "accuracy", "seed"]].tolist()[1:] == [27090, 0.8784, 17]


def test_a_copy_counts_once_and_another_result_does_not(runs, make, tmp_path):
    write(make("a", metrics={"test": {"accuracy": 0.5}}), tmp_path / "copies" / "a" / "record.json")
    write(make("b", metrics={"test": {"accuracy": 0.8}}), tmp_path / "copies" / "b" / "record.json")
    frame = rarefy.frame(runs, tmp_path / "copies")
    assert list(zip(frame.index, frame["accuracy"], strict=True)) == [("a", 0.5), ("b", 0.7), ("b", 0.8)]


@pytest.mark.parametrize("rows", ["runs", "epochs", "layers"])
def test_no_runs_is_an_empty_frame(rows, tmp_path):
    assert len(rarefy.frame(tmp_path, rows=rows)) == 0


def test_mistakes(runs, tmp_path, monkeypatch):
    with pytest.raises(InvalidInput) as caught:
        rarefy.frame(runs, rows="seeds")
    assert (caught.value.name, caught.value.value) == ("rows", "seeds")
    monkeypatch.chdir(tmp_path / "runs")
    with pytest.raises(RecordError):
        rarefy.frame()  # no folder `runs` here
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingPackage) as missing:
        rarefy.frame(runs)
    assert missing.value.extra == "pandas"
