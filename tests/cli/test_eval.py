"""`rarefy eval` as a person types it."""

from __future__ import annotations

import io
import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from rarefy.cli._evaluation import results
from rarefy.records import read


@pytest.fixture
def runs(train: Callable[..., object], tmp_path: Path) -> list[Path]:
    """A sparse run and a dense one."""
    train("--sparse --fix --density 0.3")
    train("")
    return sorted(folder for folder in (tmp_path / "runs").iterdir() if folder.is_dir())


def test_one_run_shows_its_numbers_and_where_its_page_is(rarefy: Callable, runs: list[Path]) -> None:
    done = rarefy("eval --calibration --cost", runs[0])
    assert done.code == 0, done.err
    test = read(runs[0]).metrics["test"]
    words = " ".join(done.out.split())
    assert f"Accuracy {100 * test['accuracy']:.2f}%" in words
    assert f"ECE {100 * test['calibration']['before']['ece']:.2f}%" in words
    assert f"weights kept {test['cost']['parameters']['kept']} of" in words
    assert "calibration" in done.out and "% of all" in done.out
    assert str(runs[0] / "evaluation.html") in done.out and (runs[0] / "evaluation.html").is_file()


def test_several_runs_stand_side_by_side(rarefy: Callable, runs: list[Path], tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    done = rarefy("eval", tmp_path / "runs", runs[0], "--json", target)  # named twice, evaluated once
    assert done.code == 0, done.err
    header = next(line for line in done.out.splitlines() if all(run.name in line for run in runs))
    assert header.split() == [run.name for run in runs]
    rows = json.loads(target.read_text())
    assert [row["id"] for row in rows] == [run.name for run in runs]
    assert rows[0]["metrics"]["test"] == read(runs[0]).metrics["test"]
    page = (tmp_path / "runs" / "evaluation.html").read_text(encoding="utf-8")
    assert all(run.name in page for run in runs)
    again = rarefy("eval", tmp_path / "runs")
    assert again.out.count("already known") == 4 and rarefy("eval --again", runs[0]).out.count("already known") == 0


def test_runs_of_several_seeds_are_one_column_with_mean_and_deviation(
    rarefy: Callable, train: Callable[..., object], tmp_path: Path
) -> None:
    for words in ("--seed 1", "--seed 2", "--seed 3", "--seed 1 --sparse --fix --density 0.3"):
        train(words)
    done = rarefy("eval", tmp_path / "runs")
    assert done.code == 0, done.err
    records = [read(path.parent) for path in (tmp_path / "runs").glob("*/record.json")]
    assert not any(record.id in line for record in records for line in done.out.splitlines() if "mlp_8" in line)
    dense = [100 * record.metrics["test"]["accuracy"] for record in records if record.density == 1]
    words = " ".join(done.out.split())
    assert "seeds 3 1" in words or "seeds 1 3" in words
    assert f"{statistics.mean(dense):.2f}% ± {statistics.stdev(dense):.2f}%" in words


def test_columns_that_do_not_fit_are_in_the_next_table(rarefy: Callable, runs: list[Path]) -> None:
    rarefy("eval", *runs)
    records = [read(run) for run in runs]
    for width, tables in ((160, [2]), (60, [1, 1])):
        grids = list(results(records, width))
        assert [len(grid.columns) - 1 for grid in grids] == tables
        screen = Console(file=io.StringIO(), width=width)
        for grid in grids:
            screen.print(grid)
        lines = screen.file.getvalue().splitlines()
        assert max(map(len, lines)) <= width
        assert all(any(run.name in line for line in lines) for run in runs)


def test_an_attack_whose_package_is_missing_is_told_before_work_begins(
    rarefy: Callable, runs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyautoattack", None)
    before = (runs[0] / "record.json").read_bytes()
    assert "attacks" in rarefy("eval --attack fgsm,autoattack", runs[0]).sentence
    assert (runs[0] / "record.json").read_bytes() == before


def test_quiet_prints_the_page_alone(rarefy: Callable, runs: list[Path], tmp_path: Path) -> None:
    page = tmp_path / "elsewhere" / "page.html"
    done = rarefy("eval --quiet --page", page, *runs)
    assert done.out == f"{page}\n" and page.is_file()


def test_limits_and_options_arrive(rarefy: Callable, runs: list[Path]) -> None:
    words = "eval --ood noise --ood-scores energy,max_logit --ood-images 9 --attack fgsm:eps=2/255 --attack-images 5"
    done = rarefy(f"{words} --curve-images 3 --eps 1/255,0.01", runs[0])
    assert done.code == 0, done.err
    test = read(runs[0]).metrics["test"]
    assert set(test["ood"]) == {"uniform_noise", "gaussian_noise"}
    assert test["ood"]["uniform_noise"]["images"] == 9 and set(test["ood"]["uniform_noise"]["scores"]) == {
        "energy",
        "max_logit",
    }
    result = test["attacks"]["fgsm:eps=2/255"]
    assert result["images"] == 5 and result["options"] == {"eps": 2 / 255}
    assert test["robust_curve"]["fgsm:eps=2/255"]["eps"] == [0, 1 / 255, 0.01]


def test_workers_arrive_where_data_are_read(
    rarefy: Callable, runs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from rarefy import data

    asked, load = [], data.load

    def noting(*arguments: object, workers: int | None = None) -> data.Splits:
        asked.append(workers)
        return load(*arguments, workers=workers)

    monkeypatch.setattr(data, "load", noting)
    assert rarefy("eval -j 3", runs[0]).code == 0
    assert asked == [3]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--attack pdg", "Did you mean 'pgd'"),
        ("--ood svnh", "Did you mean 'svhn'"),
        ("--ood-scores energi", "Did you mean 'energy'"),
        ("--ood svhn", "svhn"),
        ("--eps big", "is no number"),
        ("--attack pgd:eps=3", "eps is in units of pixels"),
        ("--corruptions-dir nowhere", "official file nowhere"),
    ],
)
def test_mistakes_are_told_in_a_sentence(rarefy: Callable, runs: list[Path], words: str, message: str) -> None:
    assert message in rarefy(f"eval {words}", runs[0]).sentence


def test_no_run_there(rarefy: Callable, tmp_path: Path) -> None:
    assert "no finished run in" in rarefy("eval", tmp_path).sentence
    assert "no finished run in" in rarefy("eval", tmp_path / "nowhere").sentence


def test_a_typo_costs_no_time(rarefy: Callable, runs: list[Path]) -> None:
    assert "Did you mean 'svhn'" in rarefy("eval --ood svnh --calibration", runs[0]).sentence
    assert "evaluated" not in read(runs[0]).metrics["test"]
