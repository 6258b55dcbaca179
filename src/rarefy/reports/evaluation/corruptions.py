"""Corruptions: accuracy on noisy, blurred, weathered and compressed images."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from rarefy.reports.evaluation._page_runs import PageRun, group_runs, select_runs
from rarefy.reports.figures import Axis, Figure, Mark, Series, Sheet, build_row_figure, fit_axis
from rarefy.reports.pages import (
    NOTHING,
    Block,
    Fold,
    Section,
    Table,
    arrange_figures,
    compute_mean,
    format_count,
    format_percent,
    make_columns,
)


def build_section(runs: Sequence[PageRun]) -> Section:
    """Builds the section: error by corruption and by severity, and the means."""
    selected, notes = select_runs(runs, "corruptions", flags="--corruptions")
    blocks: list[Block] = []
    if selected:
        sheet = _list_errors(selected)
        figures = arrange_figures([_draw_errors(selected, sheet), _draw_severities(selected, sheet)])
        errors = Fold("Error by corruption and severity", [_build_errors(selected, sheet)])
        blocks = [*figures, _build_means(selected), errors]
    about = (
        "Error on test images that were corrupted at severities 1 to 5. Official: the published files (CIFAR-10-C). "
        "Regenerated: computed from the test images by the same recipe; compare such numbers with each other rather "
        "than with published ones. The mean corruption error is over the 15 common corruptions, as far as they were "
        "computed; unless the table says so, it is not relative to another network."
    )
    return Section("corruptions", "Corruptions", about, [*blocks, *notes])


def _read_errors(runs: Sequence[PageRun]) -> Iterator[tuple[str, PageRun, list[float]]]:
    """Yields (corruption, run, one error per severity)."""
    for name in dict.fromkeys(name for run in runs for name in run.test("corruptions", "errors") or {}):
        for run in runs:
            errors = run.test("corruptions", "errors", name)
            if errors is not None:
                yield name, run, errors


def _list_severities(runs: Sequence[PageRun]) -> list[int]:
    """Lists all severities that any run has."""
    return sorted({severity for run in runs for severity in run.test("corruptions", "severities") or ()})


def _average(rows: Sequence[Sequence[float]]) -> list[float]:
    """Averages rows severity by severity, as far as all of them go."""
    return [statistics.fmean(column) for column in zip(*rows, strict=False)]


def _draw_errors(runs: Sequence[PageRun], sheet: Sheet) -> Figure:
    lists: dict[str, dict[tuple[str, int], list[list[float]]]] = {}
    for name, run, errors in _read_errors(runs):
        lists.setdefault(name, {}).setdefault((run.name, run.style), []).append(errors)
    marks, severities = [], _list_severities(runs)
    for row, (name, groups) in enumerate(lists.items()):
        for (group, style), several in groups.items():
            errors = _average(several)
            mean = statistics.fmean(errors)
            marks.append(Mark(row, mean, style, group, f"{group}, {name}: {format_percent(mean)}", "bars"))
            for severity, error in zip(severities, errors, strict=False):
                tip = f"{group}, {name}, severity {severity}: {format_percent(error)}"
                marks.append(Mark(row, error, style, f"{group}, severities", tip, "ticks"))
    axis = fit_axis("error, %", "error", [mark.value for mark in marks], scale=100.0, zero=True)
    means = [f"{head} {_format_mean(members)}" for head, members in group_runs(runs).items()]
    return build_row_figure(
        "corruptions", "Error by corruption", list(lists), marks, axis, sheet=sheet,
        caption="Bar: mean over severities and over the runs of a name. Ticks: the severities, mildest on the left.",
        description=f"Error by corruption; mean over all: {'; '.join(means)}.",
    )  # fmt: skip


def _format_mean(runs: Sequence[PageRun]) -> str:
    values = [run.test("corruptions", "mean_error") for run in runs]
    return format_percent(compute_mean([value for value in values if value is not None]))


def _draw_severities(runs: Sequence[PageRun], sheet: Sheet) -> Figure:
    levels, series, ends = _list_severities(runs), [], []
    for run in runs:
        errors = _average([errors for _, _, errors in _read_errors([run])])
        points = list(zip(run.test("corruptions", "severities") or levels, errors, strict=False))
        if points:
            tips = tuple(f"{run.label}, severity {level}: {format_percent(error)}" for level, error in points)
            x, y = zip(*points, strict=True)
            series.append(Series(run.label, run.style, x, y, tips=tips))
            ends.append(f"{run.label} {format_percent(y[0])} to {format_percent(y[-1])}")
    span = min(levels, default=1) - 0.2, max(levels, default=5) + 0.2
    return Figure(
        "severities", "Error by severity", Axis("severity", "severity", span=span, ticks=tuple(map(float, levels))),
        fit_axis("error, %", "error", [error for s in series for error in s.y], scale=100.0, zero=True),
        tuple(series), "Mean over all corruptions; one line per run.",
        f"Error by severity, from the mildest to the strongest: {'; '.join(ends)}.", sheet,
    )  # fmt: skip


def _build_means(runs: Sequence[PageRun]) -> Table:
    rows = []
    for run in runs:
        numbers = run.test("corruptions")
        relative = [f"{format_percent(value)} of {name}'s" for name, value in numbers.get("relative_to", {}).items()]
        counts = [format_count(numbers.get("images")), " ".join(map(str, numbers.get("severities") or ()))]
        errors = [str(len(numbers.get("errors") or {})), format_percent(numbers.get("mean_error"))]
        rows.append([run.head, str(numbers.get("source") or NOTHING), *counts, *errors, "; ".join(relative)])
    heads = ["run", "images are", "images of each", "severities", "corruptions", "mean corruption error", "relative to"]
    shown = len(heads) if any(row[-1] for row in rows) else len(heads) - 1
    columns, rows = make_columns(*heads[:shown], texts=(0, 1, 6)), [row[:shown] for row in rows]
    return Table("", "Mean corruption error", columns, rows, sheet=_list_means(runs))


def _build_errors(runs: Sequence[PageRun], sheet: Sheet) -> Table:
    levels = _list_severities(runs)
    rows = []
    for name, run, errors in _read_errors(runs):
        by_level = dict(zip(run.test("corruptions", "severities") or (), errors, strict=False))
        cells = [format_percent(by_level.get(severity), 1) for severity in levels]
        rows.append([name, run.head, *cells, format_percent(compute_mean(errors), 1)])
    columns = make_columns("corruption", "run", *(f"severity {level}" for level in levels), "mean", texts=2)
    return Table("", "Error by corruption and severity", columns, rows, heads=2, sheet=sheet)


def _list_errors(runs: Sequence[PageRun]) -> Sheet:
    rows = [
        [run.name, run.id, run.test("corruptions", "source"), name, severity, error]
        for name, run, errors in _read_errors(runs)
        for severity, error in zip(run.test("corruptions", "severities") or (), errors, strict=False)
    ]
    return Sheet("corruptions", ["name", "id", "source", "corruption", "severity", "error"], rows)


def _list_means(runs: Sequence[PageRun]) -> Sheet:
    names = ("mean_error", "source", "images")
    rows = [[run.name, run.id, *(run.test("corruptions", name) for name in names)] for run in runs]
    return Sheet("mean_corruption_error", ["name", "id", *names], rows)
