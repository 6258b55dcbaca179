"""Tables: on the page, and as CSV, LaTeX and Markdown."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from rarefy.reports._csv import comma_separated
from rarefy.reports._evaluation import _words as words


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        head: What it is, for readers.
        say: A value as a reader sees it; None is a dash.
        names: Names of the numbers of a value in the CSV; more than one: the value is a tuple. None: the head.
        words: Whether it holds words.

    Example:
        >>> Column("density", "{:.0%}".format).text(0.5)
        '50%'
    """

    head: str
    say: Callable[[Any], str] = str
    names: tuple[str, ...] = ()
    words: bool = False

    def text(self, value: Any) -> str:
        """A value as a reader sees it."""
        return words.NOTHING if value is None else self.say(value)

    def plain(self, value: Any) -> list[Any]:
        """A value as the CSV has it."""
        return list(value or [None] * len(self.names)) if len(self.names) > 1 else [value]


@dataclasses.dataclass(frozen=True)
class Table:
    """A table; its first columns, as many as ``heads``, head the rows.

    Example:
        >>> table = Table("t", "Seeds", (Column("method", words=True), Column("seeds")), (("erk_plus", 3),))
        >>> print(markdown(table))
        | method | seeds |
        | --- | ---: |
        | erk_plus | 3 |
        <BLANKLINE>
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    heads: int = 1

    @property
    def texts(self) -> list[list[str]]:
        """The rows as a reader sees them."""
        return [[column.text(value) for column, value in zip(self.columns, row, strict=True)] for row in self.rows]


def files(table: Table) -> dict[str, bytes]:
    """The table in every format, by suffix."""
    return {"csv": sheet(table), "tex": latex(table).encode(), "md": markdown(table).encode()}


def sheet(table: Table) -> bytes:
    """As CSV: numbers unrounded, fractions in [0, 1]."""
    heads = [name for column in table.columns for name in column.names or (column.head,)]
    pairs = ([zip(table.columns, row, strict=True)] for row in table.rows)
    return comma_separated(heads, ([v for c, value in row for v in c.plain(value)] for (row,) in pairs)).encode()


def markdown(table: Table) -> str:
    """As Markdown."""
    marks = {"|": r"\|", "\n": " ", "<": "&lt;", "*": r"\*", "`": r"\`"}
    heads = [_escaped(column.head, marks) for column in table.columns]
    rows = [[_escaped(cell, marks) for cell in row] for row in table.texts]
    rule = ["---" if column.words else "---:" for column in table.columns]
    return "".join(f"| {' | '.join(row)} |\n" for row in [heads, rule, *rows])


def latex(table: Table) -> str:
    """As LaTeX, for the package booktabs."""
    heads = [_escaped(column.head, _LATEX) for column in table.columns]
    rows = [[_escaped(cell, _LATEX) for cell in row] for row in table.texts]
    lines = [" & ".join(row) + r" \\" for row in [heads, *rows]]
    kinds = "".join("l" if column.words else "r" for column in table.columns)
    top = [r"\begin{table}", r"\centering", rf"\caption{{{_escaped(table.caption, _LATEX)}}}"]
    grid = [rf"\begin{{tabular}}{{{kinds}}}", r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"]
    return "\n".join([*top, *grid, r"\end{tabular}", r"\end{table}", ""])


_LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "–": "--",  # noqa: RUF001
    "−": "$-$", "\n": " ", **{mark: f"\\{mark}" for mark in "&%$#_{}"},  # noqa: RUF001
}  # fmt: skip


def _escaped(text: str, marks: Mapping[str, str]) -> str:
    return "".join(marks.get(letter, letter) for letter in text)
