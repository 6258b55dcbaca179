from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rarefy.reports import EvaluatedRun

Show = Callable[..., Any]


def test_what_was_computed_and_how(runs: list[EvaluatedRun], show: Show) -> None:
    rows = show(runs).table("What was computed")
    assert rows[1] == ["dense, seed 17", "ood", "61.5 s", "seed 0"]
    assert rows[2] == ["dense, seed 17", "attacks", "120 s", "eps 8/255, limit 1000"]


def test_metrics_of_one_s_own(runs: list[EvaluatedRun], show: Show, sheet: Callable[..., Any]) -> None:
    runs[0].record["metrics"]["test"] |= {"my_metric": 0.123456, "my_words": "no number"}
    rows = show(runs).table("Other metrics")
    assert rows[1] == ["my_metric", "0.12346", *"–––"]  # noqa: RUF001
    assert len(rows) == 2
    assert sheet("own")[0] == {"name": "dense", "id": "beef00000017", "metric": "my_metric", "value": "0.123456"}


def test_where_it_ran(runs: list[EvaluatedRun], show: Show) -> None:
    rows = show(runs).table("Runs and the machines")
    assert rows[4] == ["erk 0.1, seed 18", "dead00000018", "rarefy 0.1.0, torch 2.13.0", "machine x86_64, threads 2"]
