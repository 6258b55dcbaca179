"""Groups of whole kernels, against the program of the specification."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Shape = tuple[int, ...]


@pytest.mark.parametrize(
    ("name", "shape", "block", "kept"),
    [
        ("kernel", (6, 5, 3, 3), (1, 1, 3, 3), 88),
        ("kernel", (6, 5, 3), (1, 1, 3), 31),
        ("kernel", (8, 6), (1, 1), 17),
        ("kernel", (4, 4, 1, 1), (1, 1, 1, 1), 5),
    ],
)
def test_the_rule_is_the_documented_one(
    check_groups: Callable[..., None], name: str, shape: Shape, block: Shape, kept: int
) -> None:
    check_groups(name, shape, block, kept)
