from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rarefy.reports import Evaluated

Show = Callable[..., Any]


def test_errors_before_and_after(runs: list[Evaluated], show: Show, sheet: Callable[..., Any]) -> None:
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


def test_the_diagram_s_bins_are_the_recorded_ones(runs: list[Evaluated], show: Show, sheet: Callable[..., Any]) -> None:
    bins = {"images": [0, 30, 10], "confidence": [None, 0.5, 0.95], "accuracy": [None, 0.4, 0.9]}
    runs[0].record["metrics"]["test"]["calibration"]["before"]["reliability"] = bins
    page = show(runs[:1])
    rows = [row for row in sheet("reliability") if row["side"] == "before"]
    assert [(row["bin"], row["images"], row["confidence"], row["accuracy"]) for row in rows] == [
        ("0", "0", "", ""),
        ("1", "30", "0.5", "0.4"),
        ("2", "10", "0.95", "0.9"),
    ]
    assert "dense: 30 images, confidence 50.0%, accuracy 40.0%" in page.text
    points = page.all("polyline")[0]["points"]
    # A panel of 360 x 320 whose axes begin at (52, 280), 288 to the right and 270 up.
    assert points == f"{52 + 288 * 0.5:.0f},{280 - 270 * 0.4:.0f} {52 + 288 * 0.95:.1f},{280 - 270 * 0.9:.0f}"
