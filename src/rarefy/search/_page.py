"""Writes the page of a search over runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rarefy.reports import render_density
from rarefy.search._result import SearchResult, Trial
from rarefy.search._runs import SearchRuns
from rarefy.search._savings import Saving
from rarefy.search._search import TrialSpec


def write_page(result: SearchResult, runs: SearchRuns, savings: Sequence[Saving], page: Path) -> list[Path]:
    """Writes the result of a search over runs, the savings and all runs used.

    Args:
        result: The search's result.
        runs: The search's runs.
        savings: What the density saves.
        page: The HTML file; CSV files go to a folder next to it, all values to a JSON file.

    Returns:
        The files written, the page first.
    """
    config = runs.config
    answer = f"{result.answer[0].lower()}{result.answer[1:].rstrip('.')}"
    run_values = {
        "title": f"{config.model.name} on {config.data.name}: {answer}",
        "about": list(_describe_runs(result, runs)),
        "config": config.model_dump(mode="json"),
        "savings": [dataclasses.asdict(saving) for saving in savings],
        "evidence": [_describe_trial(trial, runs) for trial in result.evidence],
    }
    return render_density({**result.as_dict(), **run_values}, page)


def _describe_runs(result: SearchResult, runs: SearchRuns) -> tuple[str, ...]:
    config, epochs = runs.config, sorted({run.config.training.epochs for run in runs.run_by_spec.values()})
    seeds = ", ".join(str(seed) for seed in dict.fromkeys(trial.seed for trial in result.evidence))
    return (
        f"Allocation {config.allocation.name}, topology {config.topology.name}, "
        f"{' and '.join(map(str, epochs))} epochs, seeds {seeds}.",
        "Full runs are judged by their test accuracy, as in rarefy compare, short ones by validation accuracy.",
    )


def _describe_trial(trial: Trial, runs: SearchRuns) -> dict[str, Any]:
    spec = TrialSpec(trial.density, trial.seed, trial.effort)
    record = runs.read_record(spec)
    values = {"epochs": len(record.history), "split": "test" if trial.effort == 1 else "validation"}
    seconds = round(sum(row.seconds for row in record.history), 1)
    return {**dataclasses.asdict(trial), **values, "run": record.id, "seconds": seconds}
