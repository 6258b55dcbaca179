"""Looking along a ladder, over every case there is."""

from __future__ import annotations

import pytest

from rarefy.search._walk import gallop, most_looks, narrow


class Asked:
    """A ladder whose rungs up to one pass; remembers which were looked at."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.rungs: list[int] = []

    def __call__(self, rung: int) -> bool:
        self.rungs.append(rung)
        return rung <= self.last


CASES = [(rungs, last) for rungs in range(1, 14) for last in range(-1, rungs)]


@pytest.mark.parametrize(("rungs", "last"), CASES)
def test_the_last_rung_that_passes_is_found_within_the_bound(rungs: int, last: int) -> None:
    asked = Asked(last)
    assert narrow(-1, rungs, asked) == last
    assert len(asked.rungs) <= most_looks(rungs)[0]
    for start in range(rungs):
        asked = Asked(last)
        assert gallop(start, rungs, asked) == last
        assert asked.rungs[0] == start
        assert len(set(asked.rungs)) == len(asked.rungs) <= most_looks(rungs)[1]
        assert set(asked.rungs) <= set(range(rungs))


def test_by_hand() -> None:
    asked = Asked(9)
    assert gallop(3, 12, asked) == 9
    assert asked.rungs == [3, 4, 6, 10, 8, 9]
    asked = Asked(2)
    assert gallop(9, 12, asked) == 2
    assert asked.rungs == [9, 8, 6, 2, 4, 3]
    assert most_looks(12) == (4, 7)


@pytest.mark.parametrize("start", range(5))
def test_an_answer_passed_itself_however_uneven_the_ladder(start: int) -> None:
    for pattern in range(2**5):
        passing = [bool(pattern >> rung & 1) for rung in range(5)]
        found = gallop(start, 5, passing.__getitem__)
        assert found == -1 or passing[found]
        assert narrow(-1, 5, passing.__getitem__) in {-1, *(rung for rung in range(5) if passing[rung])}
