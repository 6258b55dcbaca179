"""Tables as comma-separated values."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence


def comma_separated(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    r"""A table as CSV: a line of heads, a line a row, None as nothing.

    Args:
        heads: Names of the columns.
        rows: Their values, as many in each row.

    Returns:
        The text, its lines ended by ``\n``.

    Example:
        >>> comma_separated(["layer", "density"], [("conv1", 0.5), ("a, b", None)])
        'layer,density\nconv1,0.5\n"a, b",\n'
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows(rows)
    return text.getvalue()
