"""The runs of a page: their labels and styles, and what was computed of each."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rarefy.reports._nested import drop_empty, get_nested
from rarefy.reports.figures import assign_styles
from rarefy.reports.pages import Label, Note


@dataclasses.dataclass(frozen=True)
class PageRun:
    """A run on a page.

    Args:
        label: Its name, with the seed or the id where several runs have that name.
        name: The name of its group.
        style: Style number of its group.
        record: The JSON object of its ``record.json``.
        folder: Its folder, for pictures.
    """

    label: str
    name: str
    style: int
    record: Mapping[str, Any]
    folder: Path

    @property
    def id(self) -> str:
        """The run's id."""
        return str(self.record["id"])

    @property
    def head(self) -> Label:
        """Its label as a cell with its style."""
        return Label(self.label, self.style)

    def test(self, *path: str) -> Any:
        """The value at a path below ``metrics.test``; None where there is nothing."""
        return get_nested(self.record, "metrics", "test", *path)

    def rows(self, *path: str, columns: Sequence[str]) -> list[tuple[Any, ...]]:
        """Lists of equal lengths below a path, side by side; no rows if one of them is missing."""
        lists = [self.test(*path, name) for name in columns]
        is_whole = all(isinstance(values, list | tuple) and len(values) == len(lists[0]) for values in lists)
        return list(zip(*lists, strict=True)) if is_whole else []

    def history(self, name: str) -> list[tuple[float, float]]:
        """(epoch, value) of every epoch that has the value."""
        epochs = self.record.get("history") or ()
        return [(epoch["epoch"], epoch[name]) for epoch in epochs if epoch.get(name) is not None]


def label_runs(records: Sequence[Mapping[str, Any]], folders: Sequence[Path], names: Sequence[str]) -> list[PageRun]:
    """Labels runs: by name, by name and seed where several have the name, with the id where that is not enough."""
    methods = {name: _get_method(record, name) for record, name in zip(records, names, strict=True)}
    styles = assign_styles(methods)
    seeds = [
        f"{name}, seed {get_nested(record, 'config', 'seed')}" for record, name in zip(records, names, strict=True)
    ]
    labels = [name if names.count(name) == 1 else long for name, long in zip(names, seeds, strict=True)]
    labels = [
        label if labels.count(label) == 1 else f"{label} ({record['id']})"
        for record, label in zip(records, labels, strict=True)
    ]
    rows = zip(labels, names, records, folders, strict=True)
    return [PageRun(label, name, styles[name], drop_empty(record), folder) for label, name, record, folder in rows]


def _get_method(record: Mapping[str, Any], name: str) -> str:
    """The method of a run as `assign_styles` takes it: allocation and topology; the run's name if it has none."""
    allocation, topology = (get_nested(record, "config", kind, "name") for kind in ("allocation", "topology"))
    if allocation == "dense":
        return "dense"
    return f"{allocation or name}" + (f" {topology}" if topology and topology != "static" else "")


def group_runs(runs: Sequence[PageRun]) -> dict[Label, list[PageRun]]:
    """Groups runs by the name they share."""
    groups: dict[Label, list[PageRun]] = {}
    for run in runs:
        groups.setdefault(Label(run.name, run.style), []).append(run)
    return groups


@dataclasses.dataclass(frozen=True)
class SeedLine:
    """A line of a figure: of one run, or the mean over the runs of a name.

    Args:
        label: Name in the legend.
        style: Style number.
        points: (x, y) of each point.
        runs: Number of runs.
    """

    label: str
    style: int
    points: Sequence[tuple[float, float]]
    runs: int = 1


def average_seeds(
    runs: Sequence[PageRun], read_points: Callable[[PageRun], Sequence[tuple[float, float]]]
) -> list[SeedLine]:
    """Averages the lines of the runs that share a name; runs whose points lie elsewhere keep a line of their own."""
    lines: list[SeedLine] = []
    for group, members in group_runs(runs).items():
        known = [(run, points) for run in members if (points := read_points(run))]
        grids = {tuple(x for x, _ in points) for _, points in known}
        if len(known) < 2 or len(grids) > 1:
            lines += [SeedLine(run.label, run.style, points) for run, points in known]
            continue
        columns = zip(*(points for _, points in known), strict=True)
        means = [(column[0][0], math.fsum(y for _, y in column) / len(column)) for column in columns]
        lines.append(SeedLine(f"{group.text}, mean of {len(known)} runs", group.style, means, len(known)))
    return lines


def select_runs(runs: Sequence[PageRun], *path: str, flags: str) -> tuple[list[PageRun], list[Note]]:
    """Selects the runs that have a part, and writes a note about the others.

    Args:
        runs: All runs.
        path: Path of the part below ``metrics.test``.
        flags: Flags of `rarefy eval` that compute it.
    """
    selected = [run for run in runs if run.test(*path) is not None]
    missing = [run for run in runs if run not in selected]
    return selected, note_missing(missing, selected, f"rarefy eval RUN {flags}".strip())


def note_missing(missing: Sequence[PageRun], selected: Sequence[PageRun], command: str) -> list[Note]:
    """Writes a note about the runs that lack a part, or none."""
    whose = f" for {', '.join(run.label for run in missing)}" if selected else ""
    return [Note(f"Not computed{whose};", command, "adds it.")] if missing else []
