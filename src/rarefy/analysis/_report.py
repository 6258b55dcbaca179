"""Collects finished and unfinished runs, their numbers and verdicts, and renders them as a report."""

from __future__ import annotations

import dataclasses
import json
import math
import shlex
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rarefy.analysis._compare import compare_runs
from rarefy.analysis._finished import NEVER_MOVED, CompareError, FinishedRun, read_runs
from rarefy.analysis._groups import (
    SPARSITY_SETTINGS,
    Group,
    collect_notes,
    disambiguate_names,
    group_runs,
    is_dense,
    select_deciding_settings,
)
from rarefy.analysis._measured import list_default_metrics, matches_metric, read_metrics
from rarefy.analysis._model_names import ModelName, parse_model_name, read_sizes
from rarefy.config import Config, flatten_settings, read_settings
from rarefy.paths import RunPaths, find_unfinished_folders
from rarefy.records import read_history
from rarefy.registry import list_file_names, normalize_name
from rarefy.reports import (
    MetricVerdicts,
    PublishedResult,
    ReportProgress,
    RunGroup,
    SeedSummary,
    Study,
    UnfinishedRun,
    read_published,
    render_report,
)
from rarefy.statistics import summarize

_READ, _COMPARE = 0.1, 0.2  # approximate fractions of the time


def report_runs(
    paths: Sequence[Path],
    page: Path,
    *,
    published: Path | None = None,
    margin: float = 0.5,
    baseline: str = "dense",
    progress: ReportProgress = lambda what, share: None,
) -> list[Path]:
    """Writes the report of all runs in folders: a page, its figures and its tables.

    Args:
        paths: Folders of runs, or folders that hold such folders.
        page: The HTML file to write.
        published: CSV file of published numbers, drawn over those of the runs.
        margin: Equivalence margin of metrics shown in percent, in percentage points.
        baseline: The baseline, as for `compare_runs`.
        progress: Called with what is being done and the fraction done.

    Returns:
        The written files, the page first.

    Raises:
        CompareError: If a folder has no finished run.
        UnknownName: If there is no such baseline.
        ReportError: If the published numbers cannot be read.
        RecordError: If no record can be read.

    Example:
        >>> report_runs([Path("nowhere")], Path("report.html"))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        rarefy.analysis._finished.CompareError: There is no folder nowhere. ...
    """
    if not 0 < margin < math.inf:
        raise CompareError(f"The margin has to be a number of points above 0, such as 0.5; got {margin:g}.")
    rows = read_published(published) if published else []
    runs, repeated = _drop_repeated_seeds(read_runs(paths, lambda share: progress("reading records", _READ * share)))
    verdicts, notes = _compare(
        runs, baseline, margin, lambda share: progress("comparing groups", _READ + _COMPARE * share)
    )
    started = {folder: _read_settings(folder) for path in paths for folder in find_unfinished_folders(path)}
    groups = group_runs(runs)
    cells = _make_groups([*(group.settings for group in groups), *map(select_deciding_settings, started.values())])
    finished = [_fill_group(cell, group) for cell, group in zip(cells, groups, strict=False)]
    unfinished = [
        UnfinishedRun(
            _show_path(at, 2), cell, settings["seed"], _describe_state(at, settings), read_settings(RunPaths(at).config)
        )
        for cell, (at, settings) in zip(cells[len(groups) :], started.items(), strict=True)
    ]
    models = {name: cell.model for cell in cells if (name := parse_model_name(cell.model))}
    known = [_canonicalize_names(row, models) for row in rows]
    sources = shlex.join(_show_path(path, 1) for path in paths)
    all_notes = tuple(dict.fromkeys([*repeated, *notes, *collect_notes(groups)]))
    study = Study(tuple(finished), verdicts, all_notes, tuple(unfinished), tuple(known), sources)
    before = _READ + _COMPARE
    return render_report(study, page, progress=lambda what, share: progress(what, before + (1 - before) * share))


def _show_path(path: Path, parts: int) -> str:
    """Formats a path for a page: relative to the working folder, or only its last parts."""
    if not path.is_absolute():
        return str(path)
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else Path(*path.parts[-parts:]))


def _canonicalize_names(row: PublishedResult, models: Mapping[ModelName, str]) -> PublishedResult:
    """Gives a published row the names that records have; a model without records keeps its own."""
    name = parse_model_name(row.model)
    model = models.get(name, row.model) if name else row.model
    names = {normalize_name(name): name for package in ("allocation", "topology") for name in list_file_names(package)}
    allocation, topology = (names.get(normalize_name(name), name) for name in (row.allocation, row.topology))
    return dataclasses.replace(row, model=model, allocation=allocation, topology=topology)


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
                    f"Left out: {_show_path(run.folder, 2)}. Its seed is that of {_show_path(first.folder, 2)}, and no "
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


def _make_groups(all_settings: Sequence[Mapping[str, Any]]) -> list[RunGroup]:
    """Makes the cell of each of some settings, without runs."""
    elsewhere = ("model.", *SPARSITY_SETTINGS)
    places = _label_settings(
        all_settings, lambda settings: str(settings["data.name"]), lambda p: not p.startswith(elsewhere)
    )
    methods = _label_settings(
        all_settings, _name_method, lambda path: path.startswith(SPARSITY_SETTINGS) and path != "density"
    )
    cells = []
    for settings, where, method in zip(all_settings, places, methods, strict=True):
        model, dense = settings["model.name"], is_dense(settings)
        names = {name: settings[f"{name}.name"] for name in ("data", "allocation", "topology")}
        moved = not settings["topology.name"].endswith(NEVER_MOVED)
        values = {"density": 1.0 if dense else settings["density"], "dense": dense, **names, **read_sizes(model)}
        cells.append(RunGroup("", f"{model} on {where}", method, model=model, where=where, moved=moved, **values))
    return cells


def _name_method(settings: Mapping[str, Any]) -> str:
    moves = settings["topology.name"] != "static"
    return f"{settings['allocation.name']}" + (f" {settings['topology.name']}" if moves else "")


def _label_settings(
    all_settings: Sequence[Mapping[str, Any]], name: Callable[[Mapping[str, Any]], str], counts: Callable[[str], bool]
) -> list[str]:
    """Names the selected settings of each run; equal settings get the same name."""
    parts = [{path: value for path, value in settings.items() if counts(path)} for settings in all_settings]
    identities = [json.dumps(part, sort_keys=True) for part in parts]
    unique = dict(zip(identities, parts, strict=True))
    labels = dict(
        zip(unique, disambiguate_names([name(part) for part in unique.values()], list(unique.values())), strict=True)
    )
    return [labels[identity] for identity in identities]


def _fill_group(cell: RunGroup, group: Group) -> RunGroup:
    """Adds runs and their numbers to a cell: the default metrics that all of its runs have."""
    metrics = [read_metrics(run) for run in group.runs]
    defaults = list_default_metrics(run.record.metrics.get("test", {}) for run in group.runs)
    names = [
        name
        for name in metrics[0]
        if any(matches_metric(name, pattern) for pattern in defaults) and all(name in numbers for numbers in metrics)
    ]
    numbers = {name: _summarize([numbers[name].value for numbers in metrics]) for name in names}
    records = tuple(run.record.model_dump(mode="json") for run in group.runs)
    folders = tuple(_show_path(run.folder, 2) for run in group.runs)
    return dataclasses.replace(cell, name=group.name, records=records, folders=folders, numbers=numbers)


def _summarize(values: Sequence[float]) -> SeedSummary:
    summary = summarize(values)
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return SeedSummary(summary.values, summary.mean, deviation, summary.interval)
