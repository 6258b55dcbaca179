"""Formats tables, percentages and sizes."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rarefy.cli._plain import plain
from rarefy.cli._streams import OutputClosed, close_stream


class _PlainConsole(Console):
    """A console that escapes control characters in text."""

    def render_str(self, text: str, **how: Any) -> Text:
        return super().render_str(plain(text), **how)

    def on_broken_pipe(self) -> None:
        """Ends the command, not the process: what it trains is saved first."""
        self.quiet = True
        close_stream(self.file)
        raise OutputClosed("Nobody reads the output any more.")


def show_warnings(*, on: bool = True, quiet: bool = False) -> None:
    """Prints the library's warnings on stderr as well as to a run's log.

    Args:
        on: Whether this process prints.
        quiet: Whether to omit notes below the level of a warning.
    """
    handler = logging.StreamHandler() if on else logging.NullHandler()
    handler.addFilter(
        lambda record: record.levelno >= logging.WARNING or (getattr(record, "shown", False) and not quiet)
    )
    handler.setFormatter(_PlainFormatter("note: %(message)s"))
    logging.getLogger("rarefy").handlers[:] = [handler]


class _PlainFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return plain(super().format(record))


def console(*, error: bool = False) -> Console:
    """Creates a console, 160 columns wide if the output is not a terminal, so that nothing is cut off."""
    screen = _PlainConsole(stderr=error, highlight=False, markup=False, emoji=False)
    if not screen.is_terminal:
        screen.width = 160
    return screen


def table(
    title: str | None,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    totals: Sequence[object] = (),
    whole: Collection[str] = ("run",),
) -> Table:
    """Builds a table with left-aligned text in the first column and numbers in the others.

    Args:
        title: Above the table.
        columns: Headings.
        rows: Cells, already formatted or plain; `rich.text.Text` keeps its style.
        totals: A last row, set apart.
        whole: Headings of columns whose cells are never broken over lines, as an id could not be copied then.
    """
    grid = Table(
        title=title, title_justify="left", show_footer=bool(totals), box=None, pad_edge=False, header_style="bold"
    )
    for index, name in enumerate(columns):
        footer = str(totals[index]) if totals else ""
        justify: Literal["left", "right"] = "left" if index == 0 else "right"
        grid.add_column(name, justify=justify, footer=footer, overflow="fold", no_wrap=name in whole)
    for row in rows:
        grid.add_row(*[cell if isinstance(cell, Text) else str(cell) for cell in row])
    return grid


def percent(fraction: float | None) -> str:
    """Formats a fraction as a percentage: ``0.1`` -> ``10.00%``."""
    return "-" if fraction is None else f"{100 * fraction:.2f}%"


def quantity(number: float) -> str:
    """Formats a large number in thousands, millions, ...: ``270896`` -> ``270.9k``."""
    for unit in ("", "k", "M", "G", "T"):
        text = f"{number:.4g}"
        if abs(float(text)) < 1000:
            return text + unit
        number /= 1000
    return f"{number:.4g}P"
