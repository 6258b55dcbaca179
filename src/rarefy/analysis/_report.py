"""Finished runs as the plain data of a report: groups, their numbers, verdicts, and what never finished."""

from __future__ import annotations

import dataclasses
import json
import math
import shlex
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rarefy import evaluation
from rarefy.analysis._compare import compare_runs
from rarefy.analysis._finished import NEVER_MOVED, CompareError, Run, flat, read_runs
from rarefy.analysis._groups import SPARSITY, Group, decisive, grouped, is_dense, notes_of, told_apart
from rarefy.analysis._measured import DEFAULT, matches, measured
from rarefy.analysis._model_names import ModelName, parse_model_name, read_sizes
from rarefy.config import Config, read
from rarefy.paths import RunPaths, unfinished_folders
from rarefy.records import read_history
from rarefy.registry import key, names_on_disk
from rarefy.reports import Cell, Judged, Progress, Published, Sample, Study, Unfinished, read_published, render_report

_READ, _COMPARE = 0.1, 0.2  # about the shares of the time


def report_runs(
    paths: Sequence[Path],
    page: Path,
    *,
    published: Path | None = None,
    margin: float = 0.5,
    baseline: str = "dense",
    progress: Progress = lambda what, share: None,
) -> list[Path]:
    """Writes the report of all finished runs in some folders: one page, its figures and its tables.

    Args:
        paths: Folders of runs, or folders that hold such folders.
        page: The HTML file to write.
        published: CSV of published numbers, drawn over the runs'.
        margin: Of every accuracy, error and their like, in points.
        baseline: As for `compare_runs`.
        progress: Told what is done, and the share of all of it that is.

    Returns:
        The files written, the page first.

    Raises:
        CompareError: If a folder holds no finished run; UnknownName: if there is no such baseline; ReportError: if
            the published numbers cannot be read; RecordError: if no record can be read.

    Example:
        >>> report_runs([Path("nowhere")], Path("report.html"))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        rarefy.analysis._finished.CompareError: There is no folder nowhere. ...
    """
    if not 0 < margin < math.inf:
        raise CompareError(f"The margin has to be a number of points above 0, such as 0.5; got {margin:g}.")
    rows = read_published(published) if published else []
    runs, twice = _independent(read_runs(paths, lambda share: progress("reading records", _READ * share)))
    judged, notes = _judged(
        runs, baseline, margin, lambda share: progress("comparing groups", _READ + _COMPARE * share)
    )
    begun = {folder: _settings(folder) for path in paths for folder in unfinished_folders(path)}
    groups = grouped(runs)
    cells = _cells([*(group.settings for group in groups), *map(decisive, begun.values())])
    finished = [_filled(cell, group) for cell, group in zip(cells, groups, strict=False)]
    unfinished = [
        Unfinished(_show_path(at, 2), cell, settings["seed"], _state(at, settings), read(RunPaths(at).config))
        for cell, (at, settings) in zip(cells[len(groups) :], begun.items(), strict=True)
    ]
    models = {name: cell.model for cell in cells if (name := parse_model_name(cell.model))}
    known = [_canonical(row, models) for row in rows]
    places = shlex.join(_show_path(path, 1) for path in paths)
    told = tuple(dict.fromkeys([*twice, *notes, *notes_of(groups)]))
    study = Study(tuple(finished), judged, told, tuple(unfinished), tuple(known), places)
    before = _READ + _COMPARE
    return render_report(study, page, progress=lambda what, share: progress(what, before + (1 - before) * share))


def _show_path(path: Path, parts: int) -> str:
    """A path as a page tells it to others: from the working folder, or its last parts where it lies elsewhere."""
    if not path.is_absolute():
        return str(path)
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else Path(*path.parts[-parts:]))


def _canonical(row: Published, models: Mapping[ModelName, str]) -> Published:
    """Gives a published row the names that records have; a model without records keeps its own."""
    name = parse_model_name(row.model)
    model = models.get(name, row.model) if name else row.model
    names = {key(name): name for room in ("allocation", "topology") for name in names_on_disk(room)}
    allocation, topology = (names.get(key(name), name) for name in (row.allocation, row.topology))
    return dataclasses.replace(row, model=model, allocation=allocation, topology=topology)


def _independent(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """One run a seed of each group, and what was left out."""
    kept: list[Run] = []
    notes = []
    for group in grouped(runs):
        by_seed: dict[int, Run] = {}
        for run in group.runs:
            first = by_seed.setdefault(run.seed, run)
            if first is not run:
                notes.append(
                    f"Left out: {_show_path(run.folder, 2)}. Its seed is that of {_show_path(first.folder, 2)}, and no "
                    "setting that matters differs."
                )
        kept += by_seed.values()
    return kept, notes


def _judged(
    runs: Sequence[Run], baseline: str, margin: float, progress: Callable[[float], None]
) -> tuple[tuple[Judged, ...], tuple[str, ...]]:
    """Verdicts; where there is nothing to compare with, the reason."""
    try:
        found = compare_runs(runs, baseline, points=margin, progress=progress)
    except CompareError as error:
        return (), (str(error),)
    tables = (
        Judged(table.metric, table.points, table.margin, tuple(dataclasses.asdict(row) for row in table.rows))
        for table in found.tables
    )
    return tuple(tables), found.notes


def _settings(folder: Path) -> dict[str, Any]:
    return flat(Config.from_values(read(RunPaths(folder).config)).model_dump(mode="json"))


def _state(folder: Path, settings: Mapping[str, Any]) -> str:
    """How far a run came, and why it failed if a sweep says so."""
    paths = RunPaths(folder)
    words = paths.failure.read_text("utf-8", errors="replace").splitlines() if paths.failure.is_file() else []
    failed = f"; failed: {words[-1]}" if words else ""
    return f"{len(read_history(paths.history))} of {settings['training.epochs']} epochs{failed}"


def _cells(all_settings: Sequence[Mapping[str, Any]]) -> list[Cell]:
    """What each of some settings is a cell of; without runs."""
    elsewhere = ("model.", *SPARSITY)
    places = _labels(all_settings, lambda settings: str(settings["data.name"]), lambda p: not p.startswith(elsewhere))
    methods = _labels(all_settings, _method, lambda place: place.startswith(SPARSITY) and place != "density")
    cells = []
    for settings, where, method in zip(all_settings, places, methods, strict=True):
        model, dense = settings["model.name"], is_dense(settings)
        names = {name: settings[f"{name}.name"] for name in ("data", "allocation", "topology")}
        moved = not settings["topology.name"].endswith(NEVER_MOVED)
        values = {"density": 1.0 if dense else settings["density"], "dense": dense, **names, **read_sizes(model)}
        cells.append(Cell("", f"{model} on {where}", method, model=model, where=where, moved=moved, **values))
    return cells


def _method(settings: Mapping[str, Any]) -> str:
    moves = settings["topology.name"] != "static"
    return f"{settings['allocation.name']}" + (f" {settings['topology.name']}" if moves else "")


def _labels(
    all_settings: Sequence[Mapping[str, Any]], name: Callable[[Mapping[str, Any]], str], counts: Callable[[str], bool]
) -> list[str]:
    """A name each for those settings of a run that count, the same for the same ones."""
    parts = [{place: value for place, value in settings.items() if counts(place)} for settings in all_settings]
    identities = [json.dumps(part, sort_keys=True) for part in parts]
    unique = dict(zip(identities, parts, strict=True))
    labels = dict(zip(unique, told_apart([name(part) for part in unique.values()], list(unique.values())), strict=True))
    return [labels[identity] for identity in identities]


def _filled(cell: Cell, group: Group) -> Cell:
    """A cell with its runs and their numbers: those that `rarefy compare` looks at and all of its runs have."""
    found = [measured(run) for run in group.runs]
    names = [
        name
        for name in found[0]
        if any(matches(name, pattern) for pattern in DEFAULT) and all(name in numbers for numbers in found)
    ]
    numbers = {name: _sample([one[name].value for one in found]) for name in names}
    records = tuple(run.record.model_dump(mode="json") for run in group.runs)
    folders = tuple(_show_path(run.folder, 2) for run in group.runs)
    return dataclasses.replace(cell, name=group.name, records=records, folders=folders, numbers=numbers)


def _sample(values: Sequence[float]) -> Sample:
    found = evaluation.summary(values)
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Sample(found.values, found.mean, deviation, found.interval)
