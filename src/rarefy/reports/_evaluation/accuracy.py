"""Accuracy: in all, class by class, and what is taken for what."""

from __future__ import annotations

from collections.abc import Sequence

from rarefy.reports._evaluation import _words as words
from rarefy.reports._evaluation._blocks import Block, Cell, Figure, Fold, Section, Sheet, Table, arranged
from rarefy.reports._evaluation._grid import confusion_grid
from rarefy.reports._evaluation._rows import Mark, row_figure
from rarefy.reports._evaluation._runs import Run, having
from rarefy.reports._evaluation._svg import spanning

_MOST_CELLS = 20  # classes up to which a confusion matrix is drawn
_MOST_PAIRS = 10
_MOST_GRIDS = 4


def accuracy(runs: Sequence[Run]) -> Section:
    """Totals, a row of dots a class, confusion matrices."""
    classes, no_classes = having(runs, "per_class", flags="")
    confused, no_confusion = having(runs, "confusion", flags="")
    drawn = [_by_class(classes)] if classes else []
    grids = [_grid(run) for run in confused if len(run.test("confusion")) <= _MOST_CELLS]
    many = [Fold(f"Confusion matrices of {len(grids)} runs", arranged(grids))] if len(grids) > _MOST_GRIDS else []
    blocks: list[Block] = [_totals(runs), *arranged([*drawn, *([] if many else grids)]), *many]
    few = not grids and len(confused) <= 2
    blocks += [Fold("Most frequent mistakes", [_pairs(confused)], open=few)] if confused else []
    blocks += no_classes + [note for note in no_confusion if note not in no_classes]
    about = "Of each class the share of its images that are classified right, and what the others are taken for."
    return Section("accuracy", "Accuracy", about, blocks, [*_sheets(classes), _pairs_sheet(confused)], legend=True)


def _totals(runs: Sequence[Run]) -> Table:
    rows: list[list[Cell]] = []
    for run in runs:
        top = words.with_interval(run.test("accuracy"), run.test("accuracy_interval"))
        rows.append([run.head, words.whole(run.test("images")), top, words.percent(run.test("top5"))])
    return Table("Accuracy on the test images", ["run", "images", "top 1 [95% interval]", "top 5"], rows, sheet="runs")


def _names(run: Run) -> list[str]:
    """Of the classes: their own where the record knows them, else their numbers."""
    count = len(run.test("per_class", "accuracy") or run.test("confusion") or ())
    known = run.test("class_names") or ()
    return [str(name) for name in known] if len(known) == count else [str(at) for at in range(count)]


def _by_class(runs: Sequence[Run]) -> Figure:
    names, marks = max((_names(run) for run in runs), key=len), []
    for run in runs:
        for at, (share, bounds) in enumerate(run.rows("per_class", of=("accuracy", "interval"))):
            if share is not None:
                said = f"{run.label}, class {names[at]}: {words.with_interval(share, bounds)}"
                marks.append(Mark(at, share, run.group, said, bounds=(bounds[0], bounds[1]) if bounds else None))
    values = [end for mark in marks for end in (mark.value, *(mark.bounds or ()))]
    axis = spanning("accuracy, with 95% interval", values, say=lambda value: f"{100 * value:.3g}%")
    alt = "Accuracy by class. " + " ".join(f"{run.label}: {_extremes(run, names)}" for run in runs)
    caption = "A dot a run, with its interval. The axis does not begin at 0."
    return row_figure("Accuracy by class", names, marks, axis, alt=alt, caption=caption, sheet="per_class")


def _extremes(run: Run, names: Sequence[str]) -> str:
    known = [(share, at) for at, share in enumerate(run.test("per_class", "accuracy") or ()) if share is not None]
    if not known:
        return "no class has images."
    (low, worst), (high, best) = min(known), max(known)
    return f"worst {names[worst]} ({words.percent(low)}), best {names[best]} ({words.percent(high)})."


def _grid(run: Run) -> Figure:
    first = [f"{true} for {taken} ({count})" for count, true, taken, _ in _mistakes(run)[:3]]
    alt = f"Confusion matrix of {run.label}. Most frequent mistakes: {', '.join(first) or 'none'}."
    svg = confusion_grid(run.test("confusion"), _names(run), alt)
    return Figure(f"Confusion: {run.label}", svg, "Right answers blue, mistakes orange.", "confusion")


def _mistakes(run: Run) -> list[tuple[int, str, str, int]]:
    """(how many, true class, taken for, images of the true class), the most frequent first."""
    names, counts = _names(run), run.test("confusion")
    found = [
        (count, row, column)
        for row, line in enumerate(counts)
        for column, count in enumerate(line)
        if count and row != column
    ]
    found.sort(key=lambda item: (-item[0], item[1], item[2]))
    return [(count, names[row], names[column], sum(counts[row])) for count, row, column in found]


def _pairs(runs: Sequence[Run]) -> Table:
    rows: list[list[Cell]] = [
        [run.head, true, taken, str(count), words.percent(count / total, 1)]
        for run in runs
        for count, true, taken, total in _mistakes(run)[:_MOST_PAIRS]
    ]
    columns = ["run", "true class", "taken for", "images", "of its class"]
    caption = f"The {_MOST_PAIRS} most frequent mistakes of each run"
    return Table(caption, columns, rows, heads=2, sheet="confusion", words=(2,))


def _sheets(runs: Sequence[Run]) -> list[Sheet]:
    rows = []
    for run in runs:
        found = zip(_names(run), run.rows("per_class", of=("images", "accuracy", "interval")), strict=False)
        rows += [[run.name, run.id, name, *part[:2], *(part[2] or (None, None))] for name, part in found]
    return [Sheet("per_class", ["name", "id", "class", "images", "accuracy", "low", "high"], rows)]


def _pairs_sheet(runs: Sequence[Run]) -> Sheet:
    """A row for each pair of classes that occurs."""
    rows = [
        [run.name, run.id, true, taken, count]
        for run in runs
        for true, line in zip(_names(run), run.test("confusion"), strict=True)
        for taken, count in zip(_names(run), line, strict=True)
        if count
    ]
    return Sheet("confusion", ["name", "id", "class", "taken_for", "images"], rows)
