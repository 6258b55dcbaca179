"""The figure of a confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence

from rarefy.reports.figures._figure import Axis, Figure, Series, Sheet
from rarefy.reports.figures._rows import shorten

_MOST_NUMBERS = 12  # classes up to which cells have room for counts


def build_confusion_figure(
    name: str, title: str, counts: Sequence[Sequence[int]], classes: Sequence[str], *, description: str, sheet: Sheet
) -> Figure:
    """Describes a grid of cells, true classes down and predicted classes across; darker is a larger share of the row.

    Correct predictions and mistakes have colours of their own. The opacity of a mistake is the square root of its
    share, so that rare ones can be seen.
    """
    positions = tuple(float(number) for number in range(len(classes)))
    texts, span = tuple(map(shorten, classes)), (-0.5, len(classes) - 0.5)
    series = tuple(_build_series(label, style, counts, classes) for label, style in (("correct", 0), ("mistakes", 1)))
    return Figure(
        name, title, Axis("predicted class", "predicted", span=span, ticks=positions, texts=texts),
        Axis("true class", "true", reverse=True, span=span, ticks=positions, texts=texts),
        series, "Correct: blue. Mistakes: orange.", description, sheet, height=520, is_horizontal=True,
    )  # fmt: skip


def _build_series(label: str, style: int, counts: Sequence[Sequence[int]], classes: Sequence[str]) -> Series:
    cells = [
        (column, row, count, sum(line))
        for row, line in enumerate(counts)
        for column, count in enumerate(line)
        if (row == column) == (label == "correct")
    ]
    shares = [count / total if total else 0.0 for *_, count, total in cells]
    return Series(
        label, style, tuple(float(column) for column, *_ in cells), tuple(float(row) for _, row, *_ in cells),
        tips=tuple(f"{classes[y]} predicted as {classes[x]}: {count} of {total}" for x, y, count, total in cells),
        kind="cells", sizes=tuple(share if label == "correct" else share**0.5 for share in shares),
        texts=tuple(str(count) if count and len(classes) <= _MOST_NUMBERS else "" for *_, count, _ in cells),
    )  # fmt: skip
