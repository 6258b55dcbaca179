"""docs/groups.md says what its CSV files say, by the rules that it states."""

from __future__ import annotations

import csv
import runpy
import shutil
import statistics
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

ROOT = Path(__file__).parents[1]
HEADER = "run,model,pattern,density,seed,epochs,accuracy\n"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "docs" / "plots" / "groups.py"))


def test_the_page_is_what_the_files_say(script: dict[str, Any], tmp_path: Path) -> None:
    shutil.copytree(ROOT / "docs" / "groups", tmp_path / "groups")
    shutil.copy(ROOT / "docs" / "groups.md", tmp_path)
    script["build_page"](tmp_path)
    assert (tmp_path / "groups.md").read_text() == (ROOT / "docs" / "groups.md").read_text()
    for sheet in (ROOT / "docs" / "groups").glob("*.csv"):
        assert (tmp_path / "groups" / sheet.name).read_text() == sheet.read_text()


def test_differences_and_intervals_are_those_of_scipy(script: dict[str, Any], tmp_path: Path) -> None:
    plain, grouped = [60.0, 61.0, 60.5], [59.5, 60.75, 60.25]
    rows = [("unstructured", value, seed) for seed, value in enumerate(plain)]
    rows += [("out8", value, seed) for seed, value in enumerate(grouped)]
    text = "".join(f"x{i},net,{pattern},0.1,{seed},2,{value}\n" for i, (pattern, value, seed) in enumerate(rows))
    (tmp_path / "runs.csv").write_text(HEADER + text)
    (runs,) = script["read_runs"](tmp_path / "runs.csv")
    row = next(line for line in script["format_table"](runs, {}) if "| out8 |" in line)
    difference = statistics.fmean(grouped) - statistics.fmean(plain)
    low, high = stats.ttest_ind(grouped, plain, equal_var=False).confidence_interval(0.9)
    assert f"| {difference:+.2f} ({low:+.2f} to {high:+.2f}) | cannot tell |" in row
    pooled = next(line for line in script["pool_table"]([runs]) if "| out8 |" in line)
    low, high = stats.ttest_rel(grouped, plain).confidence_interval(0.95)
    assert f"| 3 | {difference:+.2f} | {low:+.2f} to {high:+.2f} | cannot tell (" in pooled
    low, high = stats.ttest_rel(grouped, plain).confidence_interval(0.9)
    assert f"cannot tell ({low:+.2f} to {high:+.2f}) | 0.1 ({difference:+.2f}) |" in pooled


def test_times_are_ratios_to_dense_in_one_process(script: dict[str, Any], tmp_path: Path) -> None:
    rows = [("unstructured", 5.0, 10.0), ("out8", 4.0, 16.0), ("in4", 3.0, 12.0)]
    with (tmp_path / "times.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["model", "pattern", "density", "what", "batch", "milliseconds", "dense_milliseconds"])
        writer.writerows([("net", pattern, 0.1, "training", 128, own, dense) for pattern, own, dense in rows])
    times = script["read_times"](tmp_path / "times.csv")
    assert times["net", ("dense", 1.0), "training", 128] == 12.0
    assert [times["net", (name, 0.1), "training", 128] for name, *_ in rows] == [6.0, 3.0, 3.0]
    assert script["read_times"](tmp_path / "none.csv") == {}
