"""Finds the last index that passes a test with few tests; index -1 (dense) always passes."""

from __future__ import annotations

from collections.abc import Callable

Passes = Callable[[int], bool]


def bisect(passing: int, failing: int, passes: Passes) -> int:
    """Returns the last index that passes, given one that passes and a larger one that fails."""
    while failing - passing > 1:
        middle = (passing + failing) // 2
        if passes(middle):
            passing = middle
        else:
            failing = middle
    return passing


def exponential_search(start: int, count: int, passes: Passes) -> int:
    """Returns the last of `count` indices that passes, testing 1, 2, 4, ... away from an initial guess."""
    stride = 1 if passes(start) else -1
    last, at = start, start + stride
    while 0 <= at < count and passes(at) == (stride > 0):
        last, stride = at, 2 * stride
        at = last + stride
    at = min(max(at, -1), count)
    return bisect(min(last, at), max(last, at), passes)


def count_max_tests(count: int) -> tuple[int, int]:
    """Counts the most tests that `bisect` and `exponential_search` need for `count` indices, over all cases."""
    bisected = max(_count_tests(count, last, None) for last in range(-1, count))
    searched = max(_count_tests(count, last, start) for last in range(-1, count) for start in range(count))
    return bisected, searched


def _count_tests(count: int, last: int, start: int | None) -> int:
    """Counts the tests if the indices up to `last` pass."""
    tested: list[int] = []

    def passes(index: int) -> bool:
        tested.append(index)
        return index <= last

    if start is None:
        bisect(-1, count, passes)
    else:
        exponential_search(start, count, passes)
    return len(tested)
