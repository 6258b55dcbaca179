"""The page of what is being trained, from runs and sweeps written by hand."""

from __future__ import annotations

from typing import Any

import pytest

from rarefy.reports import LiveRun, LiveSweep, Section, render_live
from rarefy.reports.pages import Lead


def epoch(number: int, seconds: float = 10.0) -> dict[str, Any]:
    return {"epoch": number, "train_loss": 2.0 / number, "validation_accuracy": 0.5 + number / 100, "seconds": seconds}


def run(name: str = "ERK 10%", done: int = 2, **values: Any) -> LiveRun:
    history = tuple(epoch(number) for number in range(1, done + 1))
    return LiveRun(name, name, "erk", 17, epochs=10, history=history, **values)


@pytest.mark.parametrize(
    ("found", "state", "left"),
    [
        (run(), "training", 80.0),
        (run(done=0), "starting", None),
        (run(silent_seconds=119.0), "training", 80.0),
        (run(silent_seconds=720.0), "silent for 12 minutes", None),
        (run(failure="MemoryError: none left", silent_seconds=720.0), "failed: MemoryError: none left", None),
    ],
)
def test_what_a_run_does_and_how_long_it_takes(found, state, left):
    assert (found.state, found.seconds_left) == (state, left)


def test_an_epoch_of_an_hour_is_no_silence():
    slow = LiveRun("a", "a", "erk", 17, 10, (epoch(1, 3600.0),), silent_seconds=3000.0)
    assert slow.state == "training"


def test_a_sweep_counts_epochs_of_unfinished_runs():
    sweep = LiveSweep("Depth", "2026-11-29T09:00:00+00:00", done=1, unfinished=(run(done=5), run(done=0)), waiting=1)
    assert (sweep.total, sweep.share) == (4, pytest.approx(1.5 / 4))
    assert LiveSweep("none", "", 0, (), 0).share == 1.0


def test_the_page_says_all_of_it_and_reloads_itself():
    sweep = LiveSweep("Depth & width", "2026-11-29T09:00:00+00:00", done=1, unfinished=(run(),), waiting=0)
    page = render_live(
        "Depth & width", [sweep], [run(), run("<b>", done=0, failure="no memory")], report="report.html",
        answer=Section("answer", "Answer", "", [Lead("ERK at 10% matches dense.")]),
    )  # fmt: skip
    for said in (
        *("ERK at 10% matches dense.", "Depth &amp; width", '<progress value="0.6"', "29 November 2026", "2 of 10"),
        *(
            "failed: no memory",
            "&lt;b&gt;",
            'href="report.html"',
            "connect-src &#39;self&#39;",
            "ERK 10%, seed 17, epoch 2: 52",
        ),
    ):
        assert said in page or said.replace("&#39;", "'") in page, said
    assert "<b>" not in page
    assert page.count('class="s0"') >= 2, "a curve of the loss and one of the accuracy"


def test_nothing_unfinished_is_said():
    assert "No run is unfinished." in render_live("runs", [], [])
