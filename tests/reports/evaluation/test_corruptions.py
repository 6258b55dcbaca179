from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rarefy.reports import EvaluatedRun

Show = Callable[..., Any]


def test_error_by_corruption_and_severity(runs: list[EvaluatedRun], show: Show, sheet: Callable[..., Any]) -> None:
    runs[0].record["metrics"]["test"]["corruptions"]["errors"]["fog"] = [0.1, 0.2, 0.3, 0.4, 0.55]
    page = show(runs)
    rows = page.table("Error by corruption and severity")
    assert rows[0] == ["corruption", "run", *(f"severity {at}" for at in range(1, 6)), "mean"]
    assert ["fog", "dense, seed 17", "10.0%", "20.0%", "30.0%", "40.0%", "55.0%", "31.0%"] in rows
    assert len(rows) == 1 + 15 * 4
    written = [row for row in sheet("corruptions") if (row["id"], row["corruption"]) == ("beef00000017", "fog")]
    assert [float(row["error"]) for row in written] == [0.1, 0.2, 0.3, 0.4, 0.55]
    assert {row["source"] for row in written} == {"regenerated"}


def test_bars_are_means_over_severities_and_runs_of_a_name(runs: list[EvaluatedRun], show: Show) -> None:
    for run, error in zip(runs, (0.1, 0.3, 0.5, 0.5), strict=True):
        run.record["metrics"]["test"]["corruptions"]["errors"] = {"fog": [error - 0.05, error, error + 0.05]}
        run.record["metrics"]["test"]["corruptions"]["severities"] = [1, 3, 5]
    page = show(runs)
    assert [(bar["name"], bar["x"]) for bar in page.traces("bars")] == [("dense", [20.0]), ("erk 0.1", [50.0])]
    assert "dense, fog: 20.00%" in page.tips
    assert "erk 0.1, fog, severity 5: 55.00%" in page.tips


def test_the_mean_says_where_the_images_are_from(
    runs: list[EvaluatedRun], show: Show, sheet: Callable[..., Any]
) -> None:
    runs[0].record["metrics"]["test"]["corruptions"] |= {"source": "official", "mean_error": 0.25}
    runs[2].record["metrics"]["test"]["corruptions"] |= {"relative_to": {"beef00000017": 0.925}}
    rows = show(runs).table("Mean corruption error")
    assert rows[1] == ["dense, seed 17", "official", "1,000", "1 2 3 4 5", "15", "25.00%", ""]
    assert rows[3][1:] == ["regenerated", "1,000", "1 2 3 4 5", "15", "35.80%", "92.50% of beef00000017's"]
    assert [row["source"] for row in sheet("mean_corruption_error")][:2] == ["official", "regenerated"]


def test_no_common_corruption_no_mean(runs: list[EvaluatedRun], show: Show) -> None:
    runs[0].record["metrics"]["test"]["corruptions"] |= {"errors": {"saturate": [0.1] * 5}, "mean_error": None}
    assert show(runs[:1]).table("Mean corruption error")[1][-1] == "–"  # noqa: RUF001
