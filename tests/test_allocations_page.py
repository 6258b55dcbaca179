"""The comparison on the page of allocations: its table is that of its numbers, and differences are seed by seed."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PLOTS = ROOT / "docs" / "plots"
PAGE = PLOTS.parent / "allocations.md"


@pytest.fixture
def script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_script: Callable[[Path], dict[str, Any]]
) -> dict[str, Any]:
    """The script, in a copy of the page's folder."""
    (tmp_path / "plots").mkdir()
    for file in (PLOTS / "allocations.csv", *PLOTS.glob("*.py")):
        shutil.copy(file, tmp_path / "plots")
    shutil.copy(PAGE, tmp_path)
    monkeypatch.setattr(sys, "argv", ["allocations.py"])
    return run_script(tmp_path / "plots" / "allocations.py")


def test_the_table_is_that_of_the_numbers(script: dict[str, Any], tmp_path: Path) -> None:
    script["main"]()
    built = (tmp_path / "allocations.md").read_text(encoding="utf-8")
    assert built == PAGE.read_text(encoding="utf-8"), "run python docs/plots/allocations.py"


def test_methods_are_ordered_and_differences_are_seed_by_seed(script: dict[str, Any]) -> None:
    accuracies = {"erk": (0.30, 0.50), "uniform": (0.28, 0.48), "dense": (0.2, 0.2), "erk, eoi": (0.31, 0.51)}
    rows = [
        {"method": method, "seed": str(seed), "accuracy": str(accuracy)}
        for method, values in accuracies.items()
        for seed, accuracy in enumerate(values)
    ]
    lines = [line.split("|")[1:-1] for line in script["make_comparison"](rows).splitlines()[2:]]
    assert [line[0].strip() for line in lines] == ["`dense`", "`erk` with `eoi`", "`erk`", "`uniform`"]
    assert [line[2].strip() for line in lines[1:]] == ["1.0 (1.0 to 1.0)", "", "-2.0 (-2.0 to -2.0)"]


def test_records_become_rows(script: dict[str, Any]) -> None:
    rows = list(script["read_runs"](ROOT / "experiments" / "results"))
    assert {method for method, _, _ in rows} == {"dense", "erk", "uniform"}
    assert all(0.8 < accuracy < 0.95 for _, _, accuracy in rows)
