"""Tables on a page, and as CSV, LaTeX and Markdown."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar

from rarefy.reports.figures import Sheet
from rarefy.reports.pages._csv import format_csv
from rarefy.reports.pages._format import NOTHING


@dataclasses.dataclass(frozen=True)
class Label:
    """The name of a run or a group, with its style."""

    text: str
    style: int

    def __str__(self) -> str:
        return self.text


@dataclasses.dataclass(frozen=True)
class Share:
    """A share in [0, 1] as a bar and in percent."""

    share: float

    def __str__(self) -> str:
        return f"{100 * self.share:.0f}%"


Cell = str | Label | Share


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        head: Its heading.
        format: Turns a value into text; None is a dash.
        names: Columns of a value in the CSV; with more than one, a value is a tuple of as many numbers. None: the head.
        is_text: Whether it holds words, which are aligned to the left.

    Example:
        >>> Column("density", "{:.0%}".format).format_value(0.5)
        '50%'
    """

    head: Cell
    format: Callable[[Any], str] = str
    names: tuple[str, ...] = ()
    is_text: bool = False

    def format_value(self, value: Any) -> Cell:
        """Formats a value for readers."""
        return value if isinstance(value, Label | Share) else NOTHING if value is None else self.format(value)

    def split_value(self, value: Any) -> list[Any]:
        """Splits a value into the cells of a CSV."""
        return list(value or [None] * len(self.names)) if len(self.names) > 1 else [value]


def make_columns(*heads: Cell, texts: int | Collection[int] = 1) -> list[Column]:
    """Makes columns of values that are text already.

    Args:
        heads: Their headings.
        texts: Number of columns at the beginning that hold words, or the numbers of such columns.
    """
    words = range(texts) if isinstance(texts, int) else texts
    return [Column(head, is_text=number in words) for number, head in enumerate(heads)]


@dataclasses.dataclass(frozen=True)
class Table:
    """A table; its first columns, as many as ``heads``, are the headings of its rows.

    Equal cells below each other in the first of two such columns become one.

    Args:
        name: Name of its files; "": it has none.
        caption: Text above it.
        columns: Its columns.
        rows: Their values.
        heads: Number of columns that are headings of rows.
        sheet: Its numbers as CSV, in place of files made from the table.

    Example:
        >>> table = Table("t", "Seeds", (Column("method", is_text=True), Column("seeds")), (("erk_plus", 3),))
        >>> print(format_markdown(table))
        | method | seeds |
        | --- | ---: |
        | erk_plus | 3 |
        <BLANKLINE>
    """

    kind: ClassVar[str] = "table"
    name: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    heads: int = 1
    sheet: Sheet | None = None

    @property
    def texts(self) -> list[list[Cell]]:
        """The rows as readers see them."""
        return [
            [column.format_value(value) for column, value in zip(self.columns, row, strict=True)] for row in self.rows
        ]

    @property
    def spans(self) -> list[int]:
        """Number of rows that the first cell of each row covers; 0 where one above covers it."""
        firsts = [row[0] for row in self.rows]
        spans = [1] * len(firsts)
        if self.heads < 2:
            return spans
        for row in range(len(firsts) - 1, 0, -1):
            if firsts[row] == firsts[row - 1]:
                spans[row - 1], spans[row] = spans[row - 1] + spans[row], 0
        return spans

    @property
    def files(self) -> dict[str, str]:
        """The names of its files and their text."""
        if self.sheet:
            return (
                {f"{self.sheet.name}.csv": format_csv(self.sheet.columns, self.sheet.rows)} if self.sheet.rows else {}
            )
        formats = {"csv": format_table_csv, "tex": format_latex, "md": format_markdown}
        return {f"{self.name}.{suffix}": format_(self) for suffix, format_ in formats.items()} if self.name else {}


def format_table_csv(table: Table) -> str:
    """Formats a table as CSV: numbers unrounded, fractions in [0, 1]."""
    heads = [name for column in table.columns for name in column.names or (str(column.head),)]
    pairs = [zip(table.columns, row, strict=True) for row in table.rows]
    return format_csv(heads, ([cell for column, value in row for cell in column.split_value(value)] for row in pairs))


def format_markdown(table: Table) -> str:
    """Formats a table as Markdown."""
    marks = {"|": r"\|", "\n": " ", "<": "&lt;", "*": r"\*", "`": r"\`"}
    heads, *rows = _escape_cells(table, marks)
    rule = ["---" if column.is_text else "---:" for column in table.columns]
    return "".join(f"| {' | '.join(row)} |\n" for row in [heads, rule, *rows])


def format_latex(table: Table) -> str:
    """Formats a table as LaTeX, for the package booktabs."""
    lines = [" & ".join(row) + r" \\" for row in _escape_cells(table, _LATEX)]
    kinds = "".join("l" if column.is_text else "r" for column in table.columns)
    top = [r"\begin{table}", r"\centering", rf"\caption{{{_escape(table.caption, _LATEX)}}}"]
    grid = [rf"\begin{{tabular}}{{{kinds}}}", r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"]
    return "\n".join([*top, *grid, r"\end{tabular}", r"\end{table}", ""])


_LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "–": "--",  # noqa: RUF001
    "−": "$-$", "\n": " ", **{mark: f"\\{mark}" for mark in "&%$#_{}"},  # noqa: RUF001
}  # fmt: skip


def _escape_cells(table: Table, marks: Mapping[str, str]) -> list[list[str]]:
    """Escapes the headings and the rows of a table."""
    heads = [column.head for column in table.columns]
    return [[_escape(str(cell), marks) for cell in row] for row in [heads, *table.texts]]


def _escape(text: str, marks: Mapping[str, str]) -> str:
    return "".join(marks.get(letter, letter) for letter in text)
