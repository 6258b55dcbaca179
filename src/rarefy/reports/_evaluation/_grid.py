"""Drawing: a confusion matrix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from rarefy.reports._evaluation._rows import cut
from rarefy.reports._evaluation._svg import picture, short, tip

_SIDE = 360.0
_NUMBERS = 12  # classes up to which the cells are large enough for numbers
_LETTER = 6.8


def confusion_grid(counts: Sequence[Sequence[int]], names: Sequence[str], alt: str) -> str:
    """A square of cells, true classes down and taken classes across; the darker, the larger a share of its row.

    Right answers and mistakes have colours of their own, and mistakes are drawn darker than their share: the eye is
    after the few.
    """
    classes = len(counts)
    side, edge = _SIDE / classes, 30 + _LETTER * max(len(cut(name)) for name in names)
    parts = [*_names(names, side, edge)]
    for row, line in enumerate(counts):
        total = sum(line)
        for column, count in enumerate(line):
            share = count / total if total else 0.0
            depth = share if row == column else share**0.5
            place = f'x="{short(edge + column * side)}" y="{short(edge + row * side)}"'
            size = f'width="{short(side)}" height="{short(side)}"'
            words = f"{names[row]} taken for {names[column]}: {count} of {total}"
            colour = "right" if row == column else "wrong"
            parts.append(f'<rect class="cell {colour}" {place} {size} fill-opacity="{depth:.2f}">{tip(words)}</rect>')
            if classes <= _NUMBERS and count:
                parts.append(_count(count, edge + (column + 0.5) * side, edge + (row + 0.5) * side, depth > 0.62))
    return picture(edge + _SIDE + 2, edge + _SIDE + 2, alt, parts)


def _count(count: int, x: float, y: float, dark: bool) -> str:
    place = f'x="{short(x)}" y="{short(y + 4)}" text-anchor="middle"'
    return f'<text class="{"count on" if dark else "count"}" {place}>{count}</text>'


def _names(names: Sequence[str], side: float, edge: float) -> Iterator[str]:
    for at, name in enumerate(names):
        middle = edge + (at + 0.5) * side
        yield f'<text x="{short(edge - 6)}" y="{short(middle + 4)}" text-anchor="end">{escape(cut(name))}</text>'
        turned = f'transform="translate({short(middle + 4)} {short(edge - 6)}) rotate(-90)"'
        yield f"<text {turned}>{escape(cut(name))}</text>"
    centre = short(edge + _SIDE / 2)
    yield f'<text class="label" x="{centre}" y="12" text-anchor="middle">taken for</text>'
    yield f'<text class="label" transform="translate(12 {centre}) rotate(-90)" text-anchor="middle">true class</text>'
