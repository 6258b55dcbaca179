"""The one writer of comma-separated values."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

_STARTS = ("=", "+", "-", "@", "\t", "\r")  # of text that a spreadsheet takes for a formula


def format_csv(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    r"""Formats a table as CSV: one line of headings, one line per row, None as nothing.

    Text that a spreadsheet would take for a formula gets a leading apostrophe; numbers stay as they are.

    Args:
        heads: Names of the columns.
        rows: Their values, one per column.

    Returns:
        The text, with lines ended by ``\n``.

    Example:
        >>> format_csv(["layer", "density"], [("conv1", 0.5), ("a, b", None)])
        'layer,density\nconv1,0.5\n"a, b",\n'
        >>> format_csv(["change"], [(-0.5,), ("-0.5",), ("=1+1",)])
        "change\n-0.5\n-0.5\n'=1+1\n"
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(_escape_formula, heads))
    writer.writerows([_escape_formula(cell) for cell in row] for row in rows)
    return text.getvalue()


def _escape_formula(cell: object) -> object:
    """Marks text that a spreadsheet would run as a formula with an apostrophe."""
    if not isinstance(cell, str) or not cell.startswith(_STARTS) or cell == "-":
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell
