"""Drawing: a named row each, with dots, bars and intervals along one axis."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from html import escape
from typing import Literal

from rarefy.reports._evaluation._blocks import Figure
from rarefy.reports._evaluation._svg import Axis, paint, picture, short, tip

WIDTH = 460.0
_RIGHT, _LANE, _LEAST = 20.0, 9.0, 17.0
_LETTER = 6.9  # about as wide as one letter
_MOST_LETTERS = 26
_MANY = 16  # rows from which on the ticks are said above, too
_TALLEST = 1200  # above that a figure is more than a screen


@dataclasses.dataclass(frozen=True)
class Mark:
    """Something on a row.

    Args:
        row: Number of the row, from 0.
        value: Where on the axis; a bar begins at the axis's start.
        group: Its group, which decides colour and height within the row.
        words: Said when a mouse rests on it.
        shape: Filled dot, hollow dot, bar or tick.
        bounds: Ends of an interval drawn through it.
    """

    row: int
    value: float
    group: int
    words: str
    shape: Literal["dot", "hollow", "bar", "tick"] = "dot"
    bounds: tuple[float, float] | None = None


def cut(name: str) -> str:
    """A name that fits beside a row; its middle goes first, for layers differ at both ends."""
    half = (_MOST_LETTERS - 1) // 2
    return name if len(name) <= _MOST_LETTERS else f"{name[:half]}…{name[-half:]}"


@dataclasses.dataclass(frozen=True)
class _Layout:
    """Where the rows and the numbers of a drawing are."""

    names: Sequence[str]
    axis: Axis
    lanes: int

    @property
    def left(self) -> float:
        """Where the axis begins: right of the longest name."""
        return 14 + _LETTER * max((len(cut(name)) for name in self.names), default=0)

    @property
    def top(self) -> float:
        """Where the first row begins: below the ticks that tall drawings say twice."""
        return 22 if self.doubled else 4

    @property
    def doubled(self) -> bool:
        """Whether the ticks are said above, too."""
        return len(self.names) >= _MANY

    @property
    def row(self) -> float:
        """Height of a row."""
        return max(_LEAST, _LANE * self.lanes + 5)

    @property
    def bottom(self) -> float:
        """Where the last row ends."""
        return self.top + self.row * len(self.names)

    def across(self, value: float) -> float:
        """Where a number is."""
        return self.left + (WIDTH - self.left - _RIGHT) * self.axis(value)

    def down(self, row: int, lane: int) -> float:
        """The middle of a lane of a row."""
        return self.top + self.row * (row + 0.5) + _LANE * (lane + 0.5 - self.lanes / 2)


def row_figure(
    title: str, names: Sequence[str], marks: Sequence[Mark], axis: Axis, *, alt: str, caption: str, sheet: str
) -> Figure:
    """A figure of rows; the groups of a row are below each other.

    Args:
        title: Above the figure.
        names: Of the rows, from above.
        marks: What is on them.
        axis: The axis along the rows.
        alt: What it shows, in words.
        caption: Below the figure.
        sheet: The sheet of its numbers.
    """
    lanes = {group: lane for lane, group in enumerate(sorted({mark.group for mark in marks}))}
    layout = _Layout(names, axis, max(len(lanes), 1))
    parts = [*_bands(layout), *_scale(layout)]
    parts += [_draw(mark, layout, layout.down(mark.row, lanes[mark.group])) for mark in marks]
    svg = picture(WIDTH, layout.bottom + 36, alt, parts)
    return Figure(title, svg, caption, sheet, tall=layout.bottom > _TALLEST)


def _bands(layout: _Layout) -> Iterator[str]:
    """The rows' names; every other row is tinted."""
    for row, name in enumerate(layout.names):
        if row % 2:
            place = f'x="0" y="{short(layout.top + layout.row * row)}"'
            yield f'<rect class="band" {place} width="{short(WIDTH)}" height="{short(layout.row)}"/>'
        place = f'x="{short(layout.left - 8)}" y="{short(layout.top + layout.row * (row + 0.5) + 4)}"'
        yield f'<text {place} text-anchor="end">{tip(name)}{escape(cut(name))}</text>'


def _scale(layout: _Layout) -> Iterator[str]:
    for value in layout.axis.ticks(5):
        x = short(layout.across(value))
        yield f'<line class="grid" x1="{x}" y1="{short(layout.top)}" x2="{x}" y2="{short(layout.bottom)}"/>'
        for y in [layout.bottom + 15, *([layout.top - 7] if layout.doubled else [])]:
            yield f'<text x="{x}" y="{short(y)}" text-anchor="middle">{escape(layout.axis.say(value))}</text>'
    place = f'x="{short((layout.left + WIDTH - _RIGHT) / 2)}" y="{short(layout.bottom + 31)}"'
    yield f'<text class="label" {place} text-anchor="middle">{escape(layout.axis.label)}</text>'


def _draw(mark: Mark, layout: _Layout, y: float) -> str:
    colour, said, x = paint(mark.group), tip(mark.words), layout.across(mark.value)
    if mark.shape == "bar":
        start = layout.across(layout.axis.low)
        size = f'y="{short(y - 3.5)}" width="{short(max(x - start, 0.5))}" height="7"'
        return f'<rect class="b {colour}" x="{short(start)}" {size}>{said}</rect>'
    if mark.shape == "tick":
        return f'<path class="t {colour}" d="M{short(x)},{short(y - 4)}v8">{said}</path>'
    through, kind = "", "d" if mark.shape == "dot" else "h"
    if mark.bounds:
        low, high = map(layout.across, mark.bounds)
        through = f'<path class="i {colour}" d="M{short(low)},{short(y)}H{short(high)}"/>'
    return f'{through}<circle class="{kind} {colour}" cx="{short(x)}" cy="{short(y)}" r="3.2">{said}</circle>'
