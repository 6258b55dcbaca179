"""The description of a figure: what it shows, without how it is drawn."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Axis:
    """One axis.

    Args:
        label: The quantity, with the unit that is shown.
        name: Its column in the CSV.
        scale: Factor between numbers and what is shown: 100 for percent.
        log: Whether the axis is logarithmic.
        reverse: Whether it begins with the largest number.
        span: Its ends, unscaled; None: fitted to the numbers.
        ticks: Positions of its ticks, unscaled; none: chosen when drawn.
        texts: Texts of the ticks; none: their numbers.

    Example:
        >>> Axis("density", "density", log=True).log
        True
    """

    label: str
    name: str
    scale: float = 1.0
    log: bool = False
    reverse: bool = False
    span: tuple[float, float] | None = None
    ticks: tuple[float, ...] = ()
    texts: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Series:
    """Points that belong together.

    Kinds: a ``line`` through marks; a ``curve`` without marks; a ``level`` all across; filled ``dots`` or ``hollow``
    marks; horizontal ``bars`` from 0; short upright ``ticks``; ``cells`` of a grid; a ``guide``, which is thin, grey
    and not in the legend.

    Args:
        label: Name in the legend.
        style: Style number of the method, see `get_style`.
        x: Horizontal positions.
        y: Vertical positions.
        low: Lower ends of an interval of each value; empty: none.
        high: Its upper ends.
        tips: Text that is shown when a point is pointed at.
        kind: How the points are drawn.
        sizes: Area of dots, thickness of bars, opacity of cells, each in [0, 1]; empty: all alike.
        texts: Text in each cell.
        opacities: Opacity of each dot in [0, 1]; empty: all alike.
        has_bars: Whether intervals are bars through the points rather than a band.

    Example:
        >>> Series("erk", 0, (0.1, 0.5), (0.90, 0.92)).kind
        'line'
    """

    label: str
    style: int
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    tips: tuple[str, ...] = ()
    kind: Literal["line", "curve", "level", "dots", "hollow", "bars", "ticks", "cells", "guide"] = "line"
    sizes: tuple[float, ...] = ()
    texts: tuple[str, ...] = ()
    opacities: tuple[float, ...] = ()
    has_bars: bool = False


@dataclasses.dataclass(frozen=True)
class Sheet:
    """Numbers as a CSV file of their own; it is not written if it has no rows."""

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure.

    Args:
        name: Name of its files.
        title: Text above it.
        x: The horizontal axis.
        y: The vertical axis.
        series: What is drawn, in the order of the legend.
        caption: Text below it: what marks and bands are.
        description: What it shows, for readers who cannot see it; empty: the range of each series.
        sheet: Its numbers as CSV; None: the points of its series.
        height: Its height in pixels.
        width: Its width in pixels: 560, or 1120 for one that is as wide as a page.
        is_horizontal: Whether values go along x, and y has rows; intervals are then along x, too.

    Example:
        >>> Figure("f", "Title", Axis("x", "x"), Axis("y", "y"), ()).alt
        'Title. y against x.'
    """

    name: str
    title: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    caption: str = ""
    description: str = ""
    sheet: Sheet | None = None
    height: float = 370
    width: float = 560
    is_horizontal: bool = False

    @property
    def alt(self) -> str:
        """What it shows, in words."""
        if self.description:
            return self.description
        shown = (
            f" {s.label}: {self.y.scale * min(s.y):.4g} to {self.y.scale * max(s.y):.4g}." for s in self.legend_series
        )
        return f"{self.title}. {self.y.label} against {self.x.label}.{''.join(shown)}"

    @property
    def legend_series(self) -> list[Series]:
        """The series that are in the legend."""
        return [series for series in self.series if series.kind != "guide"]

    def files(self, formats: Sequence[str]) -> list[str]:
        """Lists the names of its files: drawings in some formats, and its numbers."""
        return [*(f"{self.name}.{suffix}" for suffix in formats), f"{self.sheet.name if self.sheet else self.name}.csv"]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of its CSV."""
        return ("series", "kind", self.x.name, self.y.name, "low", "high")

    def rows(self) -> Iterator[tuple[object, ...]]:
        """Yields its numbers, unscaled: fractions are in [0, 1]."""
        names = dict(zip(self.y.ticks, self.y.texts, strict=False)) if self.is_horizontal else {}
        for series in self.legend_series:
            empty: Sequence[None] = (None,) * len(series.x)
            points = zip(series.x, series.y, series.low or empty, series.high or empty, strict=True)
            for x, y, low, high in points:
                yield series.label, series.kind, x, names.get(round(y), y) if names else y, low, high
