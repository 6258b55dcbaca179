"""Looking for the last rung of a ladder that passes, with few looks; rung -1 is dense, and passes."""

from __future__ import annotations

from collections.abc import Callable

Passes = Callable[[int], bool]


def narrow(inside: int, outside: int, passes: Passes) -> int:
    """The last rung that passes, given one that does and a sparser one that does not: halves what is between."""
    while outside - inside > 1:
        middle = (inside + outside) // 2
        if passes(middle):
            inside = middle
        else:
            outside = middle
    return inside


def gallop(start: int, rungs: int, passes: Passes) -> int:
    """The same, from a rung where the answer is thought to be: 1, 2, 4, ... rungs away from it, then `narrow`."""
    stride = 1 if passes(start) else -1
    last, at = start, start + stride
    while 0 <= at < rungs and passes(at) == (stride > 0):
        last, stride = at, 2 * stride
        at = last + stride
    at = min(max(at, -1), rungs)
    return narrow(min(last, at), max(last, at), passes)


def most_looks(rungs: int) -> tuple[int, int]:
    """How many rungs `narrow` over all and `gallop` from anywhere look at, at most: both, counted over every case."""
    narrowed = max(_looks(rungs, last, None) for last in range(-1, rungs))
    galloped = max(_looks(rungs, last, start) for last in range(-1, rungs) for start in range(rungs))
    return narrowed, galloped


def _looks(rungs: int, last: int, start: int | None) -> int:
    """Looks where the rungs up to the last one pass."""
    seen: list[int] = []

    def passes(rung: int) -> bool:
        seen.append(rung)
        return rung <= last

    if start is None:
        narrow(-1, rungs, passes)
    else:
        gallop(start, rungs, passes)
    return len(seen)
