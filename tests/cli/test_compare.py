"""``rarefy compare``: tables, sentences and files, read back."""

from __future__ import annotations

import copy
import csv
import json
from pathlib import Path

import pytest
from rich.console import Console

from rarefy.records import Record, write

GOLDEN = json.loads((Path(__file__).parents[1] / "records" / "golden" / "record1.json").read_text())
RUNS = (
    ("dense", 1.0, ((0.9231, 0.31), (0.9274, 0.32), (0.9252, 0.33))),
    ("erk", 0.1, ((0.9220, 0.30), (0.9245, 0.33))),
    ("erk", 0.01, ((0.8000, 0.70),)),
)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """3 dense seeds (a0, a1, a2), 2 sparse ones (b0, b1), and one of another density (c0)."""
    for letter, (allocation, density, results) in zip("abc", RUNS, strict=True):
        for number, (accuracy, loss) in enumerate(results):
            values = copy.deepcopy(GOLDEN) | {"id": f"{letter}{number}"}
            values["config"] |= {"allocation": {"name": allocation}, "density": density, "seed": number}
            values["metrics"] = {"test": {"accuracy": accuracy, "loss": loss}}
            write(Record(**values), tmp_path / "runs" / f"{letter}{number}" / "record.json")
    return tmp_path / "runs"


def lines(text: str, start: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(start)]


def test_a_row_a_group_and_a_sentence_a_verdict(rarefy, runs):
    done = rarefy("compare", runs)
    assert done.code == 0
    # by hand: the means are 92.5233 and 92.325, their difference -0.19833; t(.975, 2) = 4.30265, t(.975, 1) = 12.7062,
    # standard deviations 0.21502 and 0.17678: half widths 4.30265 * 0.21502 / sqrt(3) and 12.7062 * 0.17678 / sqrt(2)
    accuracy, loss = lines(done.out, "dense ")
    assert accuracy.split() == ["dense", "3", "92.52", "±", "0.53"]
    assert loss.split() == ["dense", "3", "0.3200", "±", "0.0248"]
    sparse = lines(done.out, "erk 0.1  ")[0].split()
    assert sparse[2:8] == ["2", "92.33", "±", "1.59", "-0.20", "±"]
    single = lines(done.out, "erk 0.01  ")[0].split()
    assert single[2:] == ["1", "80.00", "-12.52", "-", "cannot", "tell", "-"]
    assert lines(done.out, "erk 0.1 matches dense within 0.5 points: cannot tell. The 90% interval of the difference,")
    assert lines(done.out, "erk 0.01 matches dense within 0.5 points: cannot tell. One seed has no spread")
    assert "Without a margin, so without a verdict: loss. Give one: --margin loss=0.02" in done.out


@pytest.mark.parametrize("model", ["mlp_16", "mlp_16_with_a_name_that_is_rather_long_for_a_model"])
def test_a_terminal_of_100_columns_folds_names_and_no_number(rarefy, runs, monkeypatch, model):
    """Groups that differ in the model have it in their names."""
    values = copy.deepcopy(GOLDEN) | {"id": "d0"}
    values["config"] |= {"model": {"name": model}, "density": 0.5}
    write(Record(**values), runs / "d0" / "record.json")
    monkeypatch.setattr("rarefy.cli._console.console", lambda: Console(width=100, highlight=False))
    out = rarefy("compare", runs, "--margin", "loss=0.02").out
    assert max(map(len, out.splitlines())) <= 100
    for text in ("92.33 ± 1.59  -0.20 ± ", " to ", "cannot tell  "):
        assert len([line for line in out.splitlines() if text in line]) >= 1
    assert len([line for line in out.splitlines() if line.split()[-2:] == ["tell", "-"]]) == 4  # one seed each


def test_margins_of_all_and_of_one(rarefy, runs):
    out = rarefy("compare", runs, "--margin", 5, "--margin", "loss=0.5", "--metric", "accuracy,loss").out
    assert lines(out, "accuracy, in points, margin 5 ")
    assert lines(out, "loss, margin 0.5 ")
    assert lines(out, "erk 0.1 matches dense within 5 points: yes. ")
    assert lines(out, "erk 0.1 matches dense within 0.5: yes. ")


def test_metrics_by_name(rarefy, runs):
    out = rarefy("compare", runs, "--metric", "lo*").out
    assert lines(out, "loss")
    assert not lines(out, "accuracy")


def test_a_baseline_that_is_a_folder_need_not_be_given_twice(rarefy, runs):
    out = rarefy("compare", runs / "b0", runs / "b1", "--baseline", runs / "a0", "--metric", "accuracy").out
    assert [line.split()[0] for line in lines(out, "dense")] == ["dense"]
    assert "erk 0.1 matches dense" in out


def test_json_has_everything_as_fractions(rarefy, runs, tmp_path):
    file = tmp_path / "new" / "found.json"
    assert f"written: {file}" in rarefy("compare", runs, "--json", file).out
    result = json.loads(file.read_text())
    assert result["confidence"] == 0.95
    assert [(group["name"], [run["id"] for run in group["runs"]]) for group in result["groups"]] == [
        ("dense", ["a0", "a1", "a2"]),
        ("erk 0.1", ["b0", "b1"]),
        ("erk 0.01", ["c0"]),
    ]
    assert result["groups"][1]["settings"]["density"] == 0.1
    accuracy = result["metrics"][0]
    assert (accuracy["metric"], accuracy["margin"]) == ("accuracy", 0.005)
    assert [row["values"] for row in accuracy["rows"]] == [[a for a, _ in results] for _, _, results in RUNS]
    assert accuracy["rows"][1]["difference"] == pytest.approx(0.92325 - 0.9252333333333)
    assert accuracy["rows"][1]["baseline"] == "dense"


def test_csv_has_a_row_a_metric_and_group(rarefy, runs, tmp_path):
    rarefy("compare", runs, "--csv", tmp_path / "found.csv", "--json", tmp_path / "found.json")
    with (tmp_path / "found.csv").open() as text:
        rows = list(csv.DictReader(text))
    assert [(row["metric"], row["group"]) for row in rows] == [
        (metric, group) for metric in ("accuracy", "loss") for group in ("dense", "erk 0.1", "erk 0.01")
    ]
    same = json.loads((tmp_path / "found.json").read_text())["metrics"][0]["rows"][1]
    sparse = rows[1]
    for name in ("mean", "difference", "p_value"):
        assert float(sparse[name]) == same[name]
    for name in ("interval", "welch", "bootstrap"):
        assert [float(sparse[f"{name}_low"]), float(sparse[f"{name}_high"])] == same[name]
    assert (sparse["seeds"], sparse["margin"], sparse["verdict"]) == ("2", "0.005", "cannot tell")
    assert (rows[0]["difference"], rows[4]["margin"], rows[4]["verdict"]) == ("", "", "")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--margin half", "--margin 'half': 'half' is not a number. Write points (--margin 0.5)"),
        ("--margin loss=", "'' is not a number"),
        ("--margin 0", "The margin of points has to be a number above 0"),
        ("--margin los=1", "Did you mean 'loss'"),
        ("--metric acuracy", "Did you mean 'accuracy'"),
        ("--baseline denser", "Did you mean 'dense'? Known: dense, erk 0.01, erk 0.1."),
        ("--confidence 95", "between 0 and 1"),
    ],
)
def test_mistakes_are_sentences(rarefy, runs, words, told):
    assert told in rarefy(f"compare {words}", runs).sentence


def test_folders_that_cannot_be_read_are_sentences(rarefy, runs, tmp_path):
    assert "There is no folder" in rarefy("compare", tmp_path / "none").sentence
    (tmp_path / "empty").mkdir()
    assert "There is no finished run in" in rarefy("compare", runs, tmp_path / "empty").sentence
    (runs / "b1" / "record.json").write_text("{")
    done = rarefy("compare", runs)
    assert done.code == 0
    assert f"{runs / 'b1' / 'record.json'} is damaged" in done.err
    assert "Traceback" not in done.err


def test_a_mistake_leaves_files_as_they_were(rarefy, runs, tmp_path):
    (tmp_path / "found.json").write_text("before")
    assert rarefy("compare --metric none", runs, "--json", tmp_path / "found.json").code == 2
    assert (tmp_path / "found.json").read_text() == "before"
