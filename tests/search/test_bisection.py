"""Bisection and exponential search, over all cases of up to 13 indices."""

from __future__ import annotations

import pytest

from rarefy.search._bisection import bisect, count_max_tests, exponential_search


class Recorder:
    """A test that indices up to `last` pass; records which were tested."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.indices: list[int] = []

    def __call__(self, index: int) -> bool:
        self.indices.append(index)
        return index <= self.last


CASES = [(indices, last) for indices in range(1, 14) for last in range(-1, indices)]


@pytest.mark.parametrize(("indices", "last"), CASES)
def test_the_last_index_that_passes_is_found_within_the_bound(indices: int, last: int) -> None:
    recorder = Recorder(last)
    assert bisect(-1, indices, recorder) == last
    assert len(recorder.indices) <= count_max_tests(indices)[0]
    for start in range(indices):
        recorder = Recorder(last)
        assert exponential_search(start, indices, recorder) == last
        assert recorder.indices[0] == start
        assert len(set(recorder.indices)) == len(recorder.indices) <= count_max_tests(indices)[1]
        assert set(recorder.indices) <= set(range(indices))


def test_by_hand() -> None:
    recorder = Recorder(9)
    assert exponential_search(3, 12, recorder) == 9
    assert recorder.indices == [3, 4, 6, 10, 8, 9]
    recorder = Recorder(2)
    assert exponential_search(9, 12, recorder) == 2
    assert recorder.indices == [9, 8, 6, 2, 4, 3]
    assert count_max_tests(12) == (4, 7)


@pytest.mark.parametrize("start", range(5))
def test_an_answer_passed_itself_however_uneven_the_results(start: int) -> None:
    for pattern in range(2**5):
        passing = [bool(pattern >> index & 1) for index in range(5)]
        found = exponential_search(start, 5, passing.__getitem__)
        assert found == -1 or passing[found]
        assert bisect(-1, 5, passing.__getitem__) in {-1, *(index for index in range(5) if passing[index])}
