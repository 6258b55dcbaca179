"""Corruptions: accuracy in bad weather, on bad cameras and after bad compression."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rarefy.reports._evaluation import _words as words
from rarefy.reports._evaluation._blocks import Block, Cell, Figure, Fold, Section, Sheet, Table, arranged
from rarefy.reports._evaluation._rows import WIDTH, Mark, row_figure
from rarefy.reports._evaluation._runs import Run, grouped, having
from rarefy.reports._evaluation._svg import Axis, Panel, spanning


def corruptions(runs: Sequence[Run]) -> Section:
    """Error by corruption and by severity, and the means."""
    have, notes = having(runs, "corruptions", flags="--corruptions")
    blocks: list[Block] = []
    if have:
        figures = arranged([_bars(have), _severities(have)])
        blocks = [*figures, _means(have), Fold("Error by corruption and severity", [_errors(have)])]
    about = (
        "Error on test images that were corrupted at severities 1 to 5. Official: the published files (CIFAR-10-C). "
        "Regenerated: computed anew from the test images by the same recipe; such numbers are compared with each other "
        "rather than with published ones. The mean corruption error is over the 15 common corruptions, as far as they "
        "were computed; it is not divided by another net's where that is not said."
    )
    return Section("corruptions", "Corruptions", about, [*blocks, *notes], _sheets(have), legend=True)


def _rows(runs: Sequence[Run]) -> Iterator[tuple[str, Run, list[float]]]:
    """(corruption, run, an error a severity)."""
    for name in dict.fromkeys(name for run in runs for name in run.test("corruptions", "errors") or {}):
        for run in runs:
            errors = run.test("corruptions", "errors", name)
            if errors is not None:
                yield name, run, errors


def _levels(runs: Sequence[Run]) -> list[int]:
    """All severities that any run has."""
    return sorted({severity for run in runs for severity in run.test("corruptions", "severities") or ()})


def _average(rows: Sequence[Sequence[float]]) -> list[float]:
    """Severity by severity over runs, as far as all of them go."""
    return [sum(column) / len(rows) for column in zip(*rows, strict=False)]


def _bars(runs: Sequence[Run]) -> Figure:
    found: dict[str, dict[int, list[list[float]]]] = {}
    for name, run, errors in _rows(runs):
        found.setdefault(name, {}).setdefault(run.group, []).append(errors)
    names, label = list(found), {run.group: run.name for run in runs}
    marks, severities = [], _levels(runs)
    for row, name in enumerate(names):
        for group, lists in found[name].items():
            errors = _average(lists)
            total = sum(errors) / len(errors)
            said = f"{label[group]}, {name}: {words.percent(total)}"
            marks.append(Mark(row, total, group, said, "bar"))
            marks += [
                Mark(row, error, group, f"{label[group]}, {name}, severity {severity}: {words.percent(error)}", "tick")
                for severity, error in zip(severities, errors, strict=False)
            ]
    axis = spanning("error", [mark.value for mark in marks], zero=True, say="{:.0%}".format)
    means = [f"{head.text} {_mean_of(members)}" for head, members in grouped(runs).items()]
    alt = f"Error by corruption; mean over all: {'; '.join(means)}."
    caption = "Bar: mean over severities, and over the runs of a name. Marks on it: the severities, mildest leftmost."
    return row_figure("Error by corruption", names, marks, axis, alt=alt, caption=caption, sheet="corruptions")


def _mean_of(runs: Sequence[Run]) -> str:
    values = [run.test("corruptions", "mean_error") for run in runs]
    return words.percent(words.mean([value for value in values if value is not None]))


def _severities(runs: Sequence[Run]) -> Figure:
    lines = [(run, _average([errors for _, one, errors in _rows([run]) if one is run])) for run in runs]
    levels = _levels(runs)
    x = Axis("severity", min(levels, default=1) - 0.2, max(levels, default=5) + 0.2, say="{:.0f}".format)
    y = spanning("error", [error for _, errors in lines for error in errors], zero=True, say="{:.0%}".format)
    panel = Panel(x, y, width=WIDTH, height=320)
    for run, errors in lines:
        points = list(zip(run.test("corruptions", "severities") or levels, errors, strict=False))
        panel.line(points, run.group, run.label)
        panel.dots(points, run.group, [f"{run.label}, severity {at}: {words.percent(error)}" for at, error in points])
    said = [f"{run.label} {words.percent(errors[0])} to {words.percent(errors[-1])}" for run, errors in lines if errors]
    alt = f"Error by severity, from the mildest to the strongest: {'; '.join(said)}."
    return Figure("Error by severity", panel.svg(alt), "Mean over all corruptions; a line a run.", "corruptions")


def _means(runs: Sequence[Run]) -> Table:
    rows: list[list[Cell]] = []
    for run in runs:
        found = run.test("corruptions")
        relative = [f"{words.percent(value)} of {name}'s" for name, value in (found.get("relative_to") or {}).items()]
        counts = [words.whole(found.get("images")), " ".join(map(str, found.get("severities") or ()))]
        mean = words.percent(found.get("mean_error"))
        source = str(found.get("source") or words.NOTHING)
        rows.append([run.head, source, *counts, str(len(found.get("errors") or {})), mean, "; ".join(relative)])
    relative_to = any(row[-1] for row in rows)
    columns = ["run", "images are", "images of each", "severities", "corruptions", "mean corruption error"]
    columns += ["relative to"] if relative_to else []
    shown = rows if relative_to else [row[:-1] for row in rows]
    return Table("Mean corruption error", columns, shown, sheet="mean_corruption_error", words=(1, 6))


def _errors(runs: Sequence[Run]) -> Table:
    levels = _levels(runs)
    rows: list[list[Cell]] = []
    for name, run, errors in _rows(runs):
        known = dict(zip(run.test("corruptions", "severities") or (), errors, strict=False))
        cells = [words.percent(known.get(severity), 1) for severity in levels]
        rows.append([name, run.head, *cells, words.percent(words.mean(errors), 1)])
    columns = ["corruption", "run", *(f"severity {severity}" for severity in levels), "mean"]
    return Table("Error by corruption and severity", columns, rows, heads=2, sheet="corruptions")


def _sheets(runs: Sequence[Run]) -> list[Sheet]:
    rows = [
        [run.name, run.id, run.test("corruptions", "source"), name, severity, error]
        for name, run, errors in _rows(runs)
        for severity, error in zip(run.test("corruptions", "severities") or (), errors, strict=False)
    ]
    means = [[run.name, run.id, run.test("corruptions", "mean_error"), *_counts(run)] for run in runs]
    return [
        Sheet("corruptions", ["name", "id", "source", "corruption", "severity", "error"], rows),
        Sheet("mean_corruption_error", ["name", "id", "mean_error", "source", "images"], means),
    ]


def _counts(run: Run) -> list[object]:
    return [run.test("corruptions", "source"), run.test("corruptions", "images")]
