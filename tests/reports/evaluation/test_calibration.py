from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rarefy.reports import EvaluatedRun

Show = Callable[..., Any]


def test_errors_before_and_after(runs: list[EvaluatedRun], show: Show, sheet: Callable[..., Any]) -> None:
    found = runs[0].record["metrics"]["test"]["calibration"]
    found["temperature"] = 1.65
    found["before"] |= {"ece": 0.0912, "ece_mass": 0.0934, "classwise_ece": 0.0187, "loss": 0.7867, "brier": 0.2967}
    rows = show(runs).table("Calibration errors")
    assert rows[1] == ["dense, seed 17", "before", "1", "9.12%", "9.34%", "1.87%", "0.7867", "0.2967"]
    assert rows[2][:4] == ["dense, seed 17", "after", "1.65", "1.20%"]
    assert len(rows) == 1 + 2 * 4
    written = sheet("calibration")
    assert [float(written[0][name]) for name in ("ece", "ece_mass", "loss", "brier")] == [
        0.0912,
        0.0934,
        0.7867,
        0.2967,
    ]
    assert [row["temperature"] for row in written[:2]] == ["1.0", "1.65"]


def test_the_diagram_s_bins_are_the_recorded_ones(
    runs: list[EvaluatedRun], show: Show, sheet: Callable[..., Any]
) -> None:
    bins = {"images": [0, 30, 10], "confidence": [None, 0.5, 0.95], "accuracy": [None, 0.4, 0.9]}
    runs[0].record["metrics"]["test"]["calibration"]["before"]["reliability"] = bins
    page = show(runs[:1])
    rows = [row for row in sheet("reliability") if row["side"] == "before"]
    assert [(row["bin"], row["images"], row["confidence"], row["accuracy"]) for row in rows] == [
        ("0", "0", "", ""),
        ("1", "30", "0.5", "0.4"),
        ("2", "10", "0.95", "0.9"),
    ]
    assert "dense: 30 images, confidence 50.0%, accuracy 40.0%" in page.tips
    diagonal, line, dots = next(plot["data"] for plot in page.plots if len(plot["data"]) == 3)
    assert (diagonal["x"], diagonal["y"]) == ([0.0, 100.0], [0.0, 100.0])
    assert (line["x"], line["y"]) == (dots["x"], dots["y"]) == ([50.0, 95.0], [40.0, 90.0])
    areas = [(size - 3) ** 2 for size in dots["marker"]["size"]]
    assert areas[0] / areas[1] == pytest.approx(3), "areas are as the images, 30 to 10"


def test_seeds_are_pooled_and_small_bins_are_faint(runs: list[EvaluatedRun], show: Show) -> None:
    bins = (
        {"images": [1, 60, 139], "confidence": [0.1, 0.5, 0.9], "accuracy": [1.0, 0.4, 0.8]},
        {"images": [0, 20, 180], "confidence": [None, 0.7, 0.9], "accuracy": [None, 0.8, 0.9]},
    )
    for run, found in zip(runs[:2], bins, strict=True):
        run.record["metrics"]["test"]["calibration"]["before"]["reliability"] = found
    page = show(runs[:2])
    _, line, dots = next(plot["data"] for plot in page.plots if len(plot["data"]) == 3)
    assert dots["name"] == "dense, 2 runs, images per bin"
    assert dots["x"] == pytest.approx([10.0, 100 * (60 * 0.5 + 20 * 0.7) / 80, 90.0])
    assert dots["y"] == pytest.approx(
        [100.0, 100 * (60 * 0.4 + 20 * 0.8) / 80, 100 * (139 * 0.8 + 180 * 0.9) / 319], rel=1e-5
    )
    assert dots["marker"]["opacity"] == [0.3, 1.0, 1.0], "one image of 400 is under 1%"
    assert line["x"] == dots["x"][1:]
