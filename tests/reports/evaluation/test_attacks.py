from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rarefy.reports import EvaluatedRun

Show = Callable[..., Any]


def test_accuracy_under_attack(runs: list[EvaluatedRun], show: Show, sheet: Callable[..., Any]) -> None:
    found = runs[2].record["metrics"]["test"]["attacks"]["pgd"]
    found |= {"clean": 0.8, "clean_interval": [0.774, 0.824], "robust": 0.011, "robust_interval": [0.006, 0.02]}
    page = show(runs)
    rows = page.table("Accuracy under attack")
    assert rows[0] == ["attack", "run", "images", "clean", "robust", "options"]
    options = "eps 8/255, step 2/255, steps 20, restarts 1"
    assert rows[7] == ["pgd", "erk 0.1, seed 17", "1,000", "80.00% [77.4, 82.4]", "1.10% [0.6, 2.0]", options]
    assert len(rows) == 1 + 3 * 4
    row = next(row for row in sheet("attacks") if (row["id"], row["label"]) == ("dead00000017", "pgd"))
    names = ("clean", "clean_low", "clean_high", "robust", "robust_low", "robust_high")
    assert [float(row[name]) for name in names] == [0.8, 0.774, 0.824, 0.011, 0.006, 0.02]
    assert "erk 0.1, seed 17, pgd, robust: 1.10% [0.6, 2.0]" in page.tips


def test_accuracy_against_eps(runs: list[EvaluatedRun], show: Show, sheet: Callable[..., Any]) -> None:
    for run in runs:
        curve = {"eps": [0.0, 4 / 255, 8 / 255], "robust": [0.8, 0.4, 0.2], "images": 200}
        run.record["metrics"]["test"]["robust_curve"] = {"fgsm": curve}
    page = show(runs)
    assert "Accuracy against eps: fgsm" in page.text
    assert "dense, mean of 2 runs, eps 4/255: 40.00%" in page.tips
    (plot,) = [plot for plot in page.plots if plot["layout"]["xaxis"]["title"]["text"] == "eps, in 255ths"]
    assert [(line["x"], line["y"]) for line in plot["data"]] == 2 * [([0.0, 4.0, 8.0], [80.0, 40.0, 20.0])]
    rows = [row for row in sheet("robust_curve") if row["id"] == "beef00000018"]
    assert [(float(row["eps"]), float(row["robust"])) for row in rows] == [(0.0, 0.8), (4 / 255, 0.4), (8 / 255, 0.2)]


def test_a_curve_without_attacks_and_attacks_without_a_curve(runs: list[EvaluatedRun], show: Show) -> None:
    del runs[0].record["metrics"]["test"]["robust_curve"], runs[1].record["metrics"]["test"]["attacks"]
    assert show(runs[:1]).text.count("Not computed;") == 1
    assert "Accuracy against eps: pgd" in show(runs[1:2]).text
