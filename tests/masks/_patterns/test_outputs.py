"""Groups of output channels, against the program of the specification."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Shape = tuple[int, ...]


@pytest.mark.parametrize(
    ("name", "shape", "block", "kept"),
    [
        ("out8", (16, 3, 3, 3), (8, 1, 1, 1), 88),
        ("out8", (20, 3, 2, 2), (8, 1, 1, 1), 75),
        ("out16", (10, 12), (16, 1), 47),
        ("out2", (5, 4), (2, 1), 9),
        ("out4", (3,), (4,), 2),
    ],
)
def test_the_rule_is_the_documented_one(
    check_groups: Callable[..., None], name: str, shape: Shape, block: Shape, kept: int
) -> None:
    check_groups(name, shape, block, kept)
