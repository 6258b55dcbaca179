"""Leaves out what a narrow terminal has no space for, the least important first."""

from __future__ import annotations

from collections.abc import Sequence

SPACE = 2  # columns between two parts


def fit_line(parts: Sequence[tuple[int, str]], width: int) -> str:
    """Joins parts of a line, without those of the highest numbers where it would be longer than the width.

    Args:
        parts: Importance (1 is the highest) and text of each part, in the order of the line; empty ones are left out.
        width: Columns.

    Example:
        >>> fit_line([(1, "epoch 1/2"), (3, "lr 0.1"), (2, "left 1:20")], 80)
        'epoch 1/2  lr 0.1  left 1:20'
        >>> fit_line([(1, "epoch 1/2"), (3, "lr 0.1"), (2, "left 1:20")], 20)
        'epoch 1/2  left 1:20'
    """
    chosen = [part for part in parts if part[1]]
    while len(chosen) > 1 and len((" " * SPACE).join(text for _, text in chosen)) > width:
        chosen.remove(max(chosen, key=lambda part: part[0]))
    return (" " * SPACE).join(text for _, text in chosen)


def fit_columns(
    columns: Sequence[str], rows: Sequence[Sequence[object]], width: int, *, drop: Sequence[str]
) -> list[int]:
    """Chooses the columns of a table that fit next to each other without breaking a word.

    Args:
        columns: Headings.
        rows: Cells.
        width: Columns of the terminal.
        drop: Headings that may be left out, the first one first.

    Returns:
        Indices of the columns that stay.

    Example:
        >>> fit_columns(["run", "seed", "model"], [["3f2a", 17, "cifar_resnet_20"]], 20, drop=["model", "seed"])
        [0, 1]
    """
    sizes = [
        max(len(name), *(len(str(row[index])) for row in rows)) if rows else len(name)
        for index, name in enumerate(columns)
    ]
    kept = list(range(len(columns)))
    for name in drop:
        if sum(sizes[index] + SPACE for index in kept) - SPACE <= width:
            break
        kept = [index for index in kept if columns[index] != name]
    return kept
