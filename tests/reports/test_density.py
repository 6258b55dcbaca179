"""The page of a search, from plain values."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest

from rarefy.reports import ReportError, render_density


def step(density: float, difference: float, half: float, verdict: str, *, is_full: bool = True) -> dict[str, Any]:
    group = {"values": [0.9 + difference] * 3, "mean": 0.9 + difference, "interval": [0.89, 0.91]}
    found = {
        "group": group,
        "baseline": {"values": [0.9] * 3, "mean": 0.9, "interval": None},
        "difference": difference,
        "welch": [difference - half, difference + half],
        "verdict": verdict,
        "seeds": 4,
    }
    passed = verdict == "yes"
    own = {"density": density, "effort": 1.0 if is_full else 0.25, "is_full": is_full, "tolerance": 0.01}
    return {**own, "passed": passed, "comparison": found}


@pytest.fixture
def found() -> dict[str, Any]:
    steps = [
        step(0.2, -0.01, 0.02, "yes", is_full=False),
        step(0.2, -0.002, 0.003, "yes"),
        step(0.1, -0.012, 0.005, "cannot tell"),
        step(0.05, -0.4, 0.1, "no"),
    ]
    trial = {"density": 0.2, "seed": 17, "effort": 1.0, "accuracy": 0.898, "run": "3f2a <b>", "seconds": None}
    return {
        "answer": "Density 0.2 is within 1 point of dense.",
        "caveats": ["Of density 0.1 nobody knows & more."],
        "density": 0.2,
        "densities": [0.5, 0.2, 0.1, 0.05],
        "margin": 0.01,
        "steps": steps,
        "evidence": [trial],
        "savings": [{"name": "training step", "unit": "s", "dense": 0.002, "sparse": 0.001}],
    }


def test_the_page_says_it_and_shows_it(found: dict[str, Any], tmp_path: Path) -> None:
    page, *_ = render_density(found, tmp_path / "found.html")
    text = page.read_text()
    assert "<h1>Density 0.2 is within 1 point of dense.</h1>" in text
    assert "nobody knows &amp; more" in text
    assert "3f2a &lt;b&gt;" in text
    assert re.search(r"training step</th>\s*<td>2 ms</td>\s*<td>1 ms</td>\s*<td>50.0%</td>\s*<td>2.00x", text)
    curve, differences = map(json.loads, re.findall(r'<script type="application/json">(.*?)</script>', text))
    points = {trace["name"]: trace for trace in curve["data"] if trace["meta"]["part"] == "line"}
    assert points["short"]["x"] == [0.2]
    assert (points["full"]["x"], points["full"]["y"]) == ([0.05, 0.1, 0.2], [50.0, 88.8, 89.8])
    assert points["dense, full"]["y"] == [90.0, 90.0]
    points = {trace["name"]: trace for trace in differences["data"] if trace["meta"]["part"] == "line"}
    assert (points["within the margin"]["x"], points["not within the margin"]["x"]) == ([0.2], [0.1])
    assert points["within the margin"]["error_y"]["arrayminus"] == [0.3]
    assert "Below the figure: Density 0.05: -40.00 points (-50.00 to -30.00), within the margin: no." in text


@pytest.mark.usefixtures("quick_pages")
def test_the_numbers_are_beside_it(found: dict[str, Any], tmp_path: Path) -> None:
    written = render_density(found, tmp_path / "found.html")
    names = ["found.html", "found/evidence.csv", "found/savings.csv", "found/steps.csv", "found.json"]
    assert [path.relative_to(tmp_path).as_posix() for path in written] == names
    assert json.loads((tmp_path / "found.json").read_text()) == found
    with (tmp_path / "found" / "steps.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["density"], row["full"], row["verdict"]) for row in rows][1:3] == [
        ("0.2", "True", "yes"),
        ("0.1", "True", "cannot tell"),
    ]
    assert float(rows[2]["low"]) == pytest.approx(-0.017)
    before = {path: path.read_bytes() for path in written}
    render_density(found, tmp_path / "found.html")
    assert {path: path.read_bytes() for path in written} == before


def test_what_is_no_result_is_told(found: dict[str, Any], tmp_path: Path) -> None:
    del found["steps"]
    with pytest.raises(ReportError, match="has no steps"):
        render_density(found, tmp_path / "found.html")
    assert list(tmp_path.iterdir()) == []
