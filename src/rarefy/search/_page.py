"""The evidence of a search over runs, as a page."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rarefy.reports import render_density
from rarefy.search._found import Found, Trial
from rarefy.search._runs import Runs
from rarefy.search._savings import Saving
from rarefy.search._search import Point


def write_page(found: Found, runs: Runs, saved: Sequence[Saving], page: Path) -> list[Path]:
    """Writes what a search over runs found, what that saves, and every run that was used.

    Args:
        found: What was found.
        runs: The runs.
        saved: What the density saves.
        page: The HTML file; CSV files go to a folder beside it, all of it to a JSON file.

    Returns:
        The files written, the page first.
    """
    config = runs.config
    more = {
        "title": f"{config.model.name} on {config.data.name}: {found.answer[0].lower()}{found.answer[1:].rstrip('.')}",
        "about": list(_about(found, runs)),
        "config": config.model_dump(mode="json"),
        "savings": [dataclasses.asdict(saving) for saving in saved],
        "evidence": [_used(trial, runs) for trial in found.evidence],
    }
    return render_density({**found.as_dict(), **more}, page)


def _about(found: Found, runs: Runs) -> tuple[str, ...]:
    config, epochs = runs.config, sorted({run.config.training.epochs for run in runs.of.values()})
    seeds = ", ".join(str(seed) for seed in dict.fromkeys(trial.seed for trial in found.evidence))
    return (
        f"Allocation {config.allocation.name}, topology {config.topology.name}, "
        f"{' and '.join(map(str, epochs))} epochs, seeds {seeds}.",
        "Full runs are judged by their test accuracy, as in rarefy compare, short ones by validation accuracy.",
    )


def _used(trial: Trial, runs: Runs) -> dict[str, Any]:
    point = Point(trial.density, trial.seed, trial.effort)
    record = runs.record(point)
    own = {"epochs": len(record.history), "split": "test" if trial.effort == 1 else "validation"}
    seconds = round(sum(row.seconds for row in record.history), 1)
    return {**dataclasses.asdict(trial), **own, "run": record.id, "seconds": seconds}
