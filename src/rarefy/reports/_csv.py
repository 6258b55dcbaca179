"""Tables as comma-separated values."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

_STARTS = ("=", "+", "-", "@", "\t", "\r")  # of what a spreadsheet takes for a formula


def comma_separated(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    r"""A table as CSV: a line of heads, a line a row, None as nothing.

    Text that a spreadsheet would take for a formula gets an apostrophe before it; numbers stay as they are.

    Args:
        heads: Names of the columns.
        rows: Their values, as many in each row.

    Returns:
        The text, its lines ended by ``\n``.

    Example:
        >>> comma_separated(["layer", "density"], [("conv1", 0.5), ("a, b", None)])
        'layer,density\nconv1,0.5\n"a, b",\n'
        >>> comma_separated(["change"], [(-0.5,), ("-0.5",), ("=1+1",)])
        "change\n-0.5\n-0.5\n'=1+1\n"
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(_inert, heads))
    writer.writerows([_inert(cell) for cell in row] for row in rows)
    return text.getvalue()


def _inert(cell: object) -> object:
    """A cell that no spreadsheet runs."""
    if not isinstance(cell, str) or not cell.startswith(_STARTS) or cell == "-":
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell
