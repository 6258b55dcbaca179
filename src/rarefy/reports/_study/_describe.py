"""What a figure shows, without how: drawn live by one back end, on paper by another, and written as numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Axis:
    """One axis.

    Args:
        label: What it measures, with the unit that is shown.
        name: Its name in the CSV.
        scale: What numbers are multiplied by before they are shown: 100 for percent.
        log: Whether equal factors are equally long.
        reverse: Whether it begins with the largest number.
        span: Its ends; None: as the numbers have it.
        ticks: Where it has ticks; none: as the back end likes.
        texts: What the ticks say; none: their numbers.

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

    Args:
        label: What they are.
        style: Number of the method, which decides colour, mark and dash; -1: dense.
        x: Where they are.
        y: How high.
        low: Lower ends of a band; empty: none.
        high: Its upper ends.
        said: What each point says when it is pointed at.
        kind: A ``line`` through points; a ``curve`` without marks; a ``level`` all across; ``hollow`` marks.

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
    said: tuple[str, ...] = ()
    kind: Literal["line", "curve", "level", "hollow"] = "line"


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure.

    Args:
        name: Of its files.
        title: Above it.
        x: The axis below.
        y: The axis on the left.
        series: What is drawn.
        caption: Below it: what marks and bands are.

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

    @property
    def alt(self) -> str:
        """What it shows, in words."""
        shown = (
            f" {one.label}: {self.y.scale * min(one.y):.4g} to {self.y.scale * max(one.y):.4g}." for one in self.series
        )
        return f"{self.title}. {self.y.label} against {self.x.label}.{''.join(shown)}"

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of its CSV."""
        return ("series", "kind", self.x.name, self.y.name, "low", "high")

    def rows(self) -> Iterator[tuple[object, ...]]:
        """Its numbers, unscaled: fractions are in [0, 1]."""
        for one in self.series:
            none: Sequence[None] = (None,) * len(one.x)
            points = zip(one.x, one.y, one.low or none, one.high or none, strict=True)
            yield from ((one.label, one.kind, *point) for point in points)
