"""The page on scaling: its figures and tables are those of its numbers, and the scripts that make them read runs."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PLOTS = ROOT / "docs" / "plots"
PAGE = (PLOTS.parent / "scaling.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the page with its script and numbers, without figures."""
    (tmp_path / "plots").mkdir()
    for file in (*PLOTS.glob("scaling_*.csv"), *PLOTS.glob("*.py")):
        shutil.copy(file, tmp_path / "plots")
    shutil.copy(PLOTS.parent / "scaling.md", tmp_path)
    return tmp_path


Run = Callable[[Path], dict[str, Any]]


def read_words_and_points(file: Path) -> list[object]:
    """Reads the words of a drawing, and how many numbers each line has; where they lie is up to the layout."""
    text = file.read_text(encoding="utf-8")
    counts = [len(re.findall(r"[\d.]+", path)) for path in re.findall(r' d="([^"]+)"', text)]
    return [*re.findall(r">([^<>]+)</text>", text), *counts]


def test_figures_and_tables_are_those_of_the_numbers(folder: Path, run_script: Run) -> None:
    run_script(folder / "plots" / "scaling_transfer.py")["main"]()
    assert (folder / "scaling.md").read_text(encoding="utf-8") == PAGE, "run python docs/plots/scaling_transfer.py"
    drawn = sorted(path.name for path in folder.glob("plots/*.svg"))
    assert drawn == sorted(path.name for path in PLOTS.glob("scaling_transfer_*.svg"))
    for name in drawn:
        assert f"plots/{name}" in PAGE
        shown = [read_words_and_points(plots / name) for plots in (folder / "plots", PLOTS)]
        assert len(shown[0]) > 10
        assert shown[0] == shown[1], "run python docs/plots/scaling_transfer.py"


def test_a_table_names_the_best_rate_and_the_loss_at_that_of_the_dense_network(folder: Path, run_script: Run) -> None:
    script = run_script(folder / "plots" / "scaling_transfer.py")
    losses = {("dense", 1.0): {0.25: [2.0], 0.5: [1.0], 1.0: [3.0]}, ("none", 0.125): {0.5: [2.0], 1.0: [1.5]}}
    lines = script["make_rate_table"](script["name_curves"](losses)).splitlines()
    assert lines[2:] == [
        "| 1 | dense | 2^-1 | 1.000 |  | 1 |",
        "| 1/8 | none | 2^0, the highest tried | 1.500 | 2.000 | 1 |",
    ]


def test_differences_at_the_extreme_are_seed_by_seed(folder: Path, run_script: Run) -> None:
    script = run_script(folder / "plots" / "scaling_transfer.py")
    accuracies = {"none": (0.30, 0.50), "supar": (0.31, 0.51)}
    rows = [
        {
            "optimizer": "sgd",
            "density": "0.01",
            "allocation": "erk",
            "scaling": scaling,
            "seed": str(seed),
            "accuracy": value,
        }
        for scaling, values in accuracies.items()
        for seed, value in enumerate(values)
    ]
    *_, plain, scaled = script["make_extreme_table"](rows).splitlines()
    assert plain.split("|")[6].strip() == ""
    assert scaled.split("|")[6].strip() == "1.0 (1.0 to 1.0)", "each seed gains a point, whatever seeds differ by"


def test_added_runs_replace_what_was_there(folder: Path, run_script: Run) -> None:
    script = run_script(folder / "plots" / "scaling_records.py")
    row = {"network": "net", "scaling": "none", "density": 0.5, "lr": 0.25, "seed": 1, "loss": "1.0"}
    for loss in ("1.0", "2.0"):
        script["merge_rows"]("scaling_new.csv", [row | {"loss": loss}, row | {"seed": 2}], ("loss",))
    with (folder / "plots" / "scaling_new.csv").open() as file:
        assert [(row["seed"], row["loss"]) for row in csv.DictReader(file)] == [("1", "2.0"), ("2", "1.0")]


def test_records_become_rows(folder: Path, run_script: Run) -> None:
    script = run_script(folder / "plots" / "scaling_records.py")
    [*rows] = script["read_extreme"](ROOT / "experiments" / "results")
    assert {(row["optimizer"], row["allocation"], row["scaling"], row["density"]) for row in rows} == {
        ("sgd", "dense", "dense", 1.0),
        ("sgd", "erk", "none", 0.1),
        ("sgd", "uniform", "none", 0.1),
    }
    assert all(0.8 < row["accuracy"] < 0.95 for row in rows)
