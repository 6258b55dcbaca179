"""Collects finished and unfinished runs, their numbers and verdicts, for a report."""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rarefy.analysis._compare import compare_runs
from rarefy.analysis._finished import CompareError, FinishedRun, read_runs
from rarefy.analysis._groups import collect_notes, group_runs, select_deciding_settings
from rarefy.analysis._run_groups import fill_group, make_groups, show_path
from rarefy.config import Config, flatten_settings, read_settings
from rarefy.paths import RunPaths, find_unfinished_folders
from rarefy.records import read_history, read_sweep_plans
from rarefy.registry import list_file_names, normalize_name
from rarefy.reports import (
    MetricVerdicts,
    ModelName,
    PublishedResult,
    ReportProgress,
    Study,
    UnfinishedRun,
    parse_model_name,
    read_published,
    title_method,
)

_READ, _COMPARE = 0.1, 0.2  # approximate fractions of the time
COLLECTED = _READ + _COMPARE
_MOST_TITLES = 2


def collect_study(
    paths: Sequence[Path],
    *,
    published: Path | None = None,
    margin: float = 0.5,
    baseline: str = "dense",
    progress: ReportProgress = lambda what, share: None,
) -> Study:
    """Collects all that a report shows of the runs in folders; arguments and errors as for `report_runs`."""
    if not 0 < margin < math.inf:
        raise CompareError(f"The margin has to be a number of points above 0, such as 0.5; got {margin:g}.")
    rows = read_published(published) if published else []
    runs, repeated = _drop_repeated_seeds(read_runs(paths, lambda share: progress("reading records", _READ * share)))
    verdicts, notes = _compare(
        runs, baseline, margin, lambda share: progress("comparing groups", _READ + _COMPARE * share)
    )
    started = {folder: _read_settings(folder) for path in paths for folder in find_unfinished_folders(path)}
    groups = group_runs(runs)
    cells = make_groups([*(group.settings for group in groups), *map(select_deciding_settings, started.values())])
    finished = [fill_group(cell, group) for cell, group in zip(cells, groups, strict=False)]
    unfinished = [
        UnfinishedRun(
            show_path(at, 2), cell, settings["seed"], _describe_state(at, settings), read_settings(RunPaths(at).config)
        )
        for cell, (at, settings) in zip(cells[len(groups) :], started.items(), strict=True)
    ]
    models = {name: cell.model for cell in cells if (name := parse_model_name(cell.model))}
    known = [_canonicalize_names(row, models) for row in rows]
    sources = shlex.join(show_path(path, 1) for path in paths)
    all_notes = tuple(dict.fromkeys([*repeated, *notes, *collect_notes(groups)]))
    title = find_title(paths, [run.id for run in runs])
    return Study(tuple(finished), verdicts, all_notes, tuple(unfinished), tuple(known), sources, title=title)


def find_title(paths: Sequence[Path], ids: Sequence[str]) -> str:
    """Finds the title of the sweeps that runs belong to; "" if no sweep names them, or more than two do."""
    plans = [plan for path in paths for plan in read_sweep_plans(path) if plan.runs.keys() & set(ids)]
    titles = list(dict.fromkeys(plan.title for plan in plans if plan.title))
    return "; ".join(titles) if len(titles) <= _MOST_TITLES else ""


def _canonicalize_names(row: PublishedResult, models: Mapping[ModelName, str]) -> PublishedResult:
    """Gives a published row the names that records have; a model without records keeps its own."""
    name = parse_model_name(row.model)
    model = models.get(name, row.model) if name else row.model
    names = {normalize_name(name): name for package in ("allocation", "topology") for name in list_file_names(package)}
    allocation, topology = (names.get(normalize_name(name), name) for name in (row.allocation, row.topology))
    title = title_method(allocation, topology)
    return dataclasses.replace(row, model=model, allocation=allocation, topology=topology, title=title)


def _drop_repeated_seeds(runs: Sequence[FinishedRun]) -> tuple[list[FinishedRun], list[str]]:
    """Keeps one run per seed of each group; returns them and notes on those left out."""
    kept: list[FinishedRun] = []
    notes = []
    for group in group_runs(runs):
        by_seed: dict[int, FinishedRun] = {}
        for run in group.runs:
            first = by_seed.setdefault(run.seed, run)
            if first is not run:
                notes.append(
                    f"Left out: {show_path(run.folder, 2)}. Its seed is that of {show_path(first.folder, 2)}, and no "
                    "setting that matters differs."
                )
        kept += by_seed.values()
    return kept, notes


def _compare(
    runs: Sequence[FinishedRun], baseline: str, margin: float, progress: Callable[[float], None]
) -> tuple[tuple[MetricVerdicts, ...], tuple[str, ...]]:
    """Compares the groups; returns no verdicts but the reason if there is nothing to compare."""
    try:
        found = compare_runs(runs, baseline, points=margin, progress=progress)
    except CompareError as error:
        return (), (str(error),)
    tables = (
        MetricVerdicts(table.metric, table.points, table.margin, tuple(dataclasses.asdict(row) for row in table.rows))
        for table in found.tables
    )
    return tuple(tables), found.notes


def _read_settings(folder: Path) -> dict[str, Any]:
    return flatten_settings(Config.from_values(read_settings(RunPaths(folder).config)).model_dump(mode="json"))


def _describe_state(folder: Path, settings: Mapping[str, Any]) -> str:
    """Describes how far a run came, and why it failed if a sweep recorded it."""
    paths = RunPaths(folder)
    words = paths.failure.read_text("utf-8", errors="replace").splitlines() if paths.failure.is_file() else []
    failed = f"; failed: {words[-1]}" if words else ""
    return f"{len(read_history(paths.history))} of {settings['training.epochs']} epochs{failed}"
