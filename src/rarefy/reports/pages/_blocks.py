"""The blocks of a page; the template shows them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import ClassVar

from rarefy.reports.figures import Figure
from rarefy.reports.pages._tables import Table

_MOST_PANELS = 12  # of one drawing
_TALLEST = 1200  # pixels, above which a figure is more than a screen


@dataclasses.dataclass(frozen=True)
class Note:
    """A line of text, with a command in the middle of it or none."""

    kind: ClassVar[str] = "note"
    text: str
    command: str = ""
    rest: str = ""


@dataclasses.dataclass(frozen=True)
class Lead:
    """What a page has to say: a sentence in large letters, and one about it in smaller ones or none."""

    kind: ClassVar[str] = "lead"
    text: str
    rest: str = ""


@dataclasses.dataclass(frozen=True)
class Facts:
    """Names, each with a text."""

    kind: ClassVar[str] = "facts"
    pairs: Sequence[tuple[str, str]]


@dataclasses.dataclass(frozen=True)
class Figures:
    """Figures side by side, below a heading or none; with ``panels``, all of them are in files of that name, too."""

    kind: ClassVar[str] = "figures"
    heading: str
    figures: Sequence[Figure]
    panels: str = ""

    @property
    def panel_name(self) -> str:
        """Name of the files that hold all figures; "": there are none, because there is one figure or too many."""
        return self.panels if 1 < len(self.figures) <= _MOST_PANELS else ""

    def panel_files(self, formats: Sequence[str]) -> list[str]:
        """Lists the names of those files."""
        return [f"{self.panel_name}.{suffix}" for suffix in formats if self.panel_name]


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture from a file, as a data URI."""

    uri: str
    caption: str
    alt: str


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Pictures below a heading."""

    kind: ClassVar[str] = "pictures"
    heading: str
    pictures: Sequence[Picture]


@dataclasses.dataclass(frozen=True)
class Fold:
    """Blocks that are shown on request."""

    kind: ClassVar[str] = "fold"
    title: str
    blocks: Sequence[Block]
    is_open: bool = False


Block = Note | Lead | Facts | Table | Figures | Pictures | Fold


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of a page: its anchor, its heading, what its numbers mean, and its blocks."""

    anchor: str
    title: str
    about: str
    blocks: Sequence[Block]

    def walk(self) -> Iterator[Block]:
        """Yields all blocks, also those inside of folds."""
        yield from _walk(self.blocks)

    @property
    def figures(self) -> list[Figure]:
        """All figures of the section."""
        return [figure for block in self.walk() if isinstance(block, Figures) for figure in block.figures]

    @property
    def panels(self) -> dict[str, Sequence[Figure]]:
        """The rows of panels that have files, by name."""
        rows = (block for block in self.walk() if isinstance(block, Figures) and block.panel_name)
        return {row.panel_name: row.figures for row in rows}

    @property
    def tables(self) -> list[Table]:
        """All tables of the section."""
        return [block for block in self.walk() if isinstance(block, Table)]


def _walk(blocks: Sequence[Block]) -> Iterator[Block]:
    for block in blocks:
        yield block
        if isinstance(block, Fold):
            yield from _walk(block.blocks)


def arrange_figures(figures: Sequence[Figure]) -> list[Block]:
    """Arranges figures side by side; those that are taller than a screen are folded away."""
    short = [figure for figure in figures if figure.height <= _TALLEST]
    folds = [Fold(figure.title, [Figures("", [figure])]) for figure in figures if figure.height > _TALLEST]
    return [*([Figures("", short)] if short else []), *folds]
