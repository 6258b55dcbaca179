"""What a page is made of: sections of tables, figures, pictures and lines of text. The template shows them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar


@dataclasses.dataclass(frozen=True)
class Label:
    """A cell or a legend's entry with a group's colour."""

    text: str
    group: int


Cell = str | Label


@dataclasses.dataclass(frozen=True)
class Sheet:
    """Numbers for others to use: a CSV file, its columns and rows; it is not written when it has no rows."""

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


@dataclasses.dataclass(frozen=True)
class Note:
    """A line of text, with a command in the middle of it or none."""

    kind: ClassVar[str] = "note"
    text: str
    command: str = ""
    rest: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table; its first ``heads`` columns are heads of the rows.

    Equal cells below each other in the first of two heads become one.
    """

    kind: ClassVar[str] = "table"
    caption: str
    columns: Sequence[Cell]
    rows: Sequence[Sequence[Cell]]
    heads: int = 1
    sheet: str = ""
    words: Sequence[int] = ()  # columns of text, aligned to the left
    long: Sequence[int] = ()  # columns of text that may take several lines

    @property
    def spans(self) -> list[int]:
        """How many rows the first cell of each row covers; 0 where one above covers it."""
        firsts = [row[0] for row in self.rows]
        spans = [1] * len(firsts)
        if self.heads < 2:
            return spans
        for at in range(len(firsts) - 1, 0, -1):
            if firsts[at] == firsts[at - 1]:
                spans[at - 1], spans[at] = spans[at - 1] + spans[at], 0
        return spans


@dataclasses.dataclass(frozen=True)
class Figure:
    """A drawing, as SVG, with a title above and a caption below that names the sheet of its numbers.

    A tall one is a page by itself and is folded away.
    """

    title: str
    svg: str
    caption: str = ""
    sheet: str = ""
    tall: bool = False


@dataclasses.dataclass(frozen=True)
class Figures:
    """Drawings side by side; ``wide`` ones get half of the page, others a third."""

    kind: ClassVar[str] = "figures"
    figures: Sequence[Figure]
    wide: bool = False


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture from a file, as a data URI."""

    uri: str
    caption: str
    alt: str


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Pictures below each other, with a heading."""

    kind: ClassVar[str] = "pictures"
    heading: str
    pictures: Sequence[Picture]


@dataclasses.dataclass(frozen=True)
class Fold:
    """Blocks that are shown on request."""

    kind: ClassVar[str] = "fold"
    title: str
    blocks: Sequence[Block]
    open: bool = False


Block = Note | Table | Figures | Pictures | Fold


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the page.

    Args:
        anchor: Its id in the page.
        title: Its heading.
        about: What its numbers mean, in a sentence or two.
        blocks: What it shows.
        sheets: Its CSV files.
        legend: Whether its figures tell groups by colour.
    """

    anchor: str
    title: str
    about: str
    blocks: Sequence[Block]
    sheets: Sequence[Sheet] = ()
    legend: bool = False


def arranged(figures: Sequence[Figure]) -> list[Block]:
    """Wide figures side by side, tall ones behind their titles."""
    short = [figure for figure in figures if not figure.tall]
    folds = [Fold(figure.title, [Figures([figure], wide=True)]) for figure in figures if figure.tall]
    return [*([Figures(short, wide=True)] if short else []), *folds]
