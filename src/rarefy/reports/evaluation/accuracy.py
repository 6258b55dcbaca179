"""Accuracy: in total, by class, and which classes are confused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rarefy.reports.evaluation._page_runs import PageRun, select_runs
from rarefy.reports.figures import Figure, Mark, Sheet, build_confusion_figure, build_row_figure, fit_axis
from rarefy.reports.pages import (
    Block,
    Fold,
    Section,
    Table,
    arrange_figures,
    format_count,
    format_percent,
    format_with_interval,
    make_columns,
)

_MOST_CLASSES = 20  # for which a confusion matrix is drawn
_MOST_PAIRS = 10
_MOST_GRIDS = 4


def build_section(runs: Sequence[PageRun]) -> Section:
    """Builds the section: totals, one row of dots per class, confusion matrices."""
    with_classes, no_classes = select_runs(runs, "per_class", flags="")
    confused, no_confusion = select_runs(runs, "confusion", flags="")
    drawn, sheet = ([_draw_classes(with_classes)] if with_classes else []), _list_pairs(confused)
    grids = [_draw_confusion(run, sheet) for run in confused if len(run.test("confusion")) <= _MOST_CLASSES]
    has_many = len(grids) > _MOST_GRIDS
    blocks: list[Block] = [_build_totals(runs), *arrange_figures([*drawn, *([] if has_many else grids)])]
    blocks += [Fold(f"Confusion matrices of {len(grids)} runs", arrange_figures(grids))] if has_many else []
    is_open = not grids and len(confused) <= 2
    blocks += [Fold("Most frequent mistakes", [_build_mistakes(confused, sheet)], is_open)] if confused else []
    blocks += no_classes + [note for note in no_confusion if note not in no_classes]
    about = "Share of the images of each class that are classified correctly, and the classes they are mistaken for."
    return Section("accuracy", "Accuracy", about, blocks)


def _build_totals(runs: Sequence[PageRun]) -> Table:
    rows = []
    for run in runs:
        top = format_with_interval(run.test("accuracy"), run.test("accuracy_interval"))
        rows.append([run.head, format_count(run.test("images")), top, format_percent(run.test("top5"))])
    columns = make_columns("run", "images", "top 1 [95% interval]", "top 5")
    return Table("", "Accuracy on the test images", columns, rows)


def _name_classes(run: PageRun) -> list[str]:
    """Names the classes: as the record does, else by number."""
    count = len(run.test("per_class", "accuracy") or run.test("confusion") or ())
    names = run.test("class_names") or ()
    return [str(name) for name in names] if len(names) == count else [str(number) for number in range(count)]


def _draw_classes(runs: Sequence[PageRun]) -> Figure:
    names, marks = max((_name_classes(run) for run in runs), key=len), []
    for run in runs:
        for row, (share, bounds) in enumerate(run.rows("per_class", columns=("accuracy", "interval"))):
            if share is not None:
                tip = f"{run.label}, class {names[row]}: {format_with_interval(share, bounds)}"
                interval = (bounds[0], bounds[1]) if bounds else None
                marks.append(Mark(row, share, run.style, run.name, tip, interval=interval))
    values = [end for mark in marks for end in (mark.value, *(mark.interval or ()))]
    axis = fit_axis("accuracy, %, with 95% interval", "accuracy", values, scale=100.0)
    description = "Accuracy by class. " + " ".join(f"{run.label}: {_describe_extremes(run, names)}" for run in runs)
    does_begin = axis.span is not None and axis.span[0] <= 0
    caption = "One dot per run, with its interval." + ("" if does_begin else " The axis does not begin at 0.")
    return build_row_figure(
        "per_class", "Accuracy by class", names, marks, axis,
        caption=caption, description=description, sheet=_list_classes(runs),
    )  # fmt: skip


def _describe_extremes(run: PageRun, names: Sequence[str]) -> str:
    shares = [(share, row) for row, share in enumerate(run.test("per_class", "accuracy") or ()) if share is not None]
    if not shares:
        return "no class has images."
    (low, worst), (high, best) = min(shares), max(shares)
    return f"worst {names[worst]} ({format_percent(low)}), best {names[best]} ({format_percent(high)})."


def _draw_confusion(run: PageRun, sheet: Sheet) -> Figure:
    first = [f"{true} as {predicted} ({count})" for count, true, predicted, _ in _rank_mistakes(run)[:3]]
    description = f"Confusion matrix of {run.label}. Most frequent mistakes: {', '.join(first) or 'none'}."
    return build_confusion_figure(
        f"confusion-{run.id}", f"Confusion: {run.label}", run.test("confusion"), _name_classes(run),
        description=description, sheet=sheet,
    )  # fmt: skip


def _rank_mistakes(run: PageRun) -> list[tuple[int, str, str, int]]:
    """Ranks the mistakes by frequency: (count, true class, predicted class, images of the true class)."""
    names, counts = _name_classes(run), run.test("confusion")
    mistakes = [
        (count, row, column)
        for row, line in enumerate(counts)
        for column, count in enumerate(line)
        if count and row != column
    ]
    mistakes.sort(key=lambda mistake: (-mistake[0], *mistake[1:]))
    return [(count, names[row], names[column], sum(counts[row])) for count, row, column in mistakes]


def _build_mistakes(runs: Sequence[PageRun], sheet: Sheet) -> Table:
    rows = [
        [run.head, true, predicted, str(count), format_percent(count / total, 1)]
        for run in runs
        for count, true, predicted, total in _rank_mistakes(run)[:_MOST_PAIRS]
    ]
    columns = make_columns("run", "true class", "predicted class", "images", "share of its class", texts=3)
    return Table("", f"The {_MOST_PAIRS} most frequent mistakes of each run", columns, rows, heads=2, sheet=sheet)


def _list_classes(runs: Sequence[PageRun]) -> Sheet:
    rows = [
        [run.name, run.id, name, images, share, *(bounds or (None, None))]
        for run in runs
        for name, (images, share, bounds) in zip(
            _name_classes(run), run.rows("per_class", columns=("images", "accuracy", "interval")), strict=False
        )
    ]
    return Sheet("per_class", ["name", "id", "class", "images", "accuracy", "low", "high"], rows)


def _list_pairs(runs: Sequence[PageRun]) -> Sheet:
    """Lists the pairs of classes that occur."""
    return Sheet("confusion", ["name", "id", "class", "taken_for", "images"], [row for r in runs for row in _pairs(r)])


def _pairs(run: PageRun) -> Iterator[list[object]]:
    names = _name_classes(run)
    for true, line in zip(names, run.test("confusion"), strict=True):
        for predicted, count in zip(names, line, strict=True):
            if count:
                yield [run.name, run.id, true, predicted, count]
