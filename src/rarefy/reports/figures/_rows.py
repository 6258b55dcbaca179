"""Figures of named rows: dots, bars and intervals along one axis."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

from rarefy.reports.figures._figure import Axis, Figure, Series, Sheet

_LANE, _LEAST, _AROUND = 9.0, 17.0, 62.0  # heights in pixels: of a lane, of a row at least, of all but the rows
_MOST_LETTERS = 26


@dataclasses.dataclass(frozen=True)
class Mark:
    """A mark on a row.

    Args:
        row: Number of the row, from 0 at the top.
        value: Its position on the axis.
        style: Style number; marks of one style are on one lane of a row.
        label: Name of its series.
        tip: Text that is shown when it is pointed at.
        kind: How it is drawn.
        interval: Ends of an interval that is drawn through it.
    """

    row: int
    value: float
    style: int
    label: str
    tip: str
    kind: Literal["dots", "hollow", "bars", "ticks"] = "dots"
    interval: tuple[float, float] | None = None


def build_row_figure(
    name: str, title: str, rows: Sequence[str], marks: Sequence[Mark], axis: Axis, *,
    caption: str, description: str, sheet: Sheet,
) -> Figure:  # fmt: skip
    """Describes a figure of rows; marks of different styles lie below each other within their row."""
    lanes = {style: lane for lane, style in enumerate(dict.fromkeys(mark.style for mark in marks))}
    members: dict[tuple[str, int, str], list[Mark]] = {}
    for mark in marks:
        members.setdefault((mark.label, mark.style, mark.kind), []).append(mark)
    series = tuple(_build_series(several, lanes) for several in members.values())
    positions = tuple(float(row) for row in range(len(rows)))
    y = Axis("", "row", reverse=True, span=(-0.5, len(rows) - 0.5), ticks=positions, texts=tuple(map(shorten, rows)))
    height = _AROUND + len(rows) * max(_LEAST, _LANE * len(lanes) + 5)
    return Figure(name, title, axis, y, series, caption, description, sheet, height, is_horizontal=True)


def _build_series(marks: Sequence[Mark], lanes: dict[int, int]) -> Series:
    first, share = marks[0], 0.8 / len(lanes)
    offset = share * (lanes[first.style] + 0.5) - 0.4
    intervals = [mark.interval or (mark.value, mark.value) for mark in marks]
    low, high = zip(*intervals, strict=True) if any(mark.interval for mark in marks) else ((), ())
    return Series(
        first.label, first.style, tuple(mark.value for mark in marks), tuple(mark.row + offset for mark in marks),
        low, high, tuple(mark.tip for mark in marks), first.kind,
        sizes=(0.85 * share,) * len(marks) if first.kind == "bars" else (), has_bars=True,
    )  # fmt: skip


def shorten(name: str) -> str:
    """Shortens a name to 26 letters: its middle goes first, because layers differ at both ends."""
    half = (_MOST_LETTERS - 1) // 2
    return name if len(name) <= _MOST_LETTERS else f"{name[:half]}…{name[-half:]}"
