"""A run is what it was trained on: other data under the same flags are refused wherever a run is used again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from rarefy.cli import main
from rarefy.config import Config
from rarefy.data import MissingData
from rarefy.pipeline import EvaluationOptions, OtherData, evaluate_runs, run
from rarefy.records import read
from rarefy.training import Event, Interrupted, State

CONFIG = Config.from_values(
    {
        "data": {"name": "imagenet", "resolution": 8, "valid_split": 0.2}, "model": "mlp_16", "density": 0.5,
        "engine": "masked", "device": "cpu", "training": {"epochs": 2, "batch_size": 4, "lr": 0.01},
    }
)  # fmt: skip


def paint(folder: Path, shades: tuple[int, int]) -> Path:
    """Two classes of flat pictures with the same names, whatever their shades."""
    for part, count in (("train", 6), ("val", 2)):
        for label, shade in enumerate(shades):
            (folder / part / f"class{label}").mkdir(parents=True)
            for number in range(count):
                picture = Image.new("RGB", (12, 10), (shade + number, 0, 0))
                picture.save(folder / part / f"class{label}" / f"{number}.bmp")
    return folder


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return paint(tmp_path / "own", (60, 190))


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return paint(tmp_path / "other", (190, 60))


def train(data_dir: Path, out: Path, **more: object) -> Path:
    record = run(CONFIG, out=out, data_dir=data_dir, workers=0, **more)
    return out / record.id


def interrupt(data_dir: Path, out: Path) -> None:
    steps: list[int] = []

    def count(event: Event, state: State) -> None:
        steps.extend([state.step] if event is Event.STEP else [])

    with pytest.raises(Interrupted):
        train(data_dir, out, callbacks=[count], should_stop=lambda: 2 in steps)


def test_a_finished_run_is_not_the_answer_for_other_data(own: Path, other: Path, tmp_path: Path) -> None:
    folder = train(own, tmp_path / "runs")
    before = (folder / "record.json").read_bytes()
    with pytest.raises(OtherData) as caught:
        train(other, tmp_path / "runs")
    assert caught.value.known == read(folder).fingerprint
    elsewhere = train(other, tmp_path / "elsewhere")
    assert elsewhere.name == folder.name
    assert caught.value.found == read(elsewhere).fingerprint != caught.value.known
    assert (folder / "record.json").read_bytes() == before


def test_the_same_data_may_move(own: Path, tmp_path: Path) -> None:
    folder = train(own, tmp_path / "runs")
    before = (folder / "record.json").read_bytes()
    shutil.move(own, tmp_path / "moved")
    assert train(tmp_path / "moved", tmp_path / "runs") == folder
    assert (folder / "record.json").read_bytes() == before


def test_data_that_are_missing_are_said_of_a_finished_run_too(own: Path, tmp_path: Path) -> None:
    train(own, tmp_path / "runs")
    with pytest.raises(MissingData):
        train(tmp_path / "nowhere", tmp_path / "runs")


def test_an_interrupted_run_goes_on_with_its_own_data_only(own: Path, other: Path, tmp_path: Path) -> None:
    interrupt(own, tmp_path / "runs")
    (checkpoint,) = (tmp_path / "runs").glob("*/last.ckpt")
    before = checkpoint.read_bytes()
    with pytest.raises(OtherData):
        train(other, tmp_path / "runs")
    assert checkpoint.read_bytes() == before
    assert read(train(own, tmp_path / "runs")).metrics == read(train(own, tmp_path / "whole")).metrics


def test_a_run_is_evaluated_on_its_own_data_only(own: Path, other: Path, tmp_path: Path) -> None:
    folder = train(own, tmp_path / "runs")
    with pytest.raises(OtherData):
        evaluate_runs([folder], EvaluationOptions(), data_dir=other, workers=0)
    (record,) = evaluate_runs([folder], EvaluationOptions(), data_dir=own, workers=0)
    assert "evaluated" in record.metrics["test"]


def test_a_record_from_before_there_were_fingerprints_is_taken_at_its_word(own: Path, other: Path, tmp_path: Path):
    folder = train(own, tmp_path / "runs")
    values = json.loads((folder / "record.json").read_text())
    del values["fingerprint"]
    (folder / "record.json").write_text(json.dumps(values))
    assert train(other, tmp_path / "runs") == folder


def test_the_command_line_names_both_fingerprints(own: Path, other: Path, tmp_path: Path, capsys) -> None:
    words = [
        "train",
        "--data",
        "imagenet",
        "--resolution",
        "8",
        "--valid-split",
        "0.2",
        "--model",
        "mlp_16",
        "--epochs",
    ]
    words += ["1", "-b", "4", "--quiet", "--workers", "0", "--out", str(tmp_path / "runs"), "--data-dir"]
    with pytest.raises(SystemExit) as done:
        main([*words, str(own)])
    assert done.value.code == 0
    known = read(Path(capsys.readouterr().out.split()[-1])).fingerprint
    with pytest.raises(SystemExit) as done:
        main([*words, str(other)])
    said = capsys.readouterr()
    assert (done.value.code, said.out) == (2, "")
    assert known in said.err
    assert "--out" in said.err
    assert "Traceback" not in said.err
