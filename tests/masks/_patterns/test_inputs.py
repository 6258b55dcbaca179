"""Groups of input channels, against the program of the specification."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Shape = tuple[int, ...]


@pytest.mark.parametrize(
    ("name", "shape", "block", "kept"),
    [
        ("in4", (5, 8, 3, 3), (1, 4, 1, 1), 88),
        ("in4", (5, 10, 2, 2), (1, 4, 1, 1), 75),
        ("in8", (4, 3, 3), (1, 8, 1), 17),
        ("in2", (5, 4), (1, 2), 9),
        ("in4", (3,), (1,), 2),
    ],
)
def test_the_rule_is_the_documented_one(
    check_groups: Callable[..., None], name: str, shape: Shape, block: Shape, kept: int
) -> None:
    check_groups(name, shape, block, kept)
