"""Which densities are tried."""

from __future__ import annotations

import itertools

import pytest

from rarefy.search import ladder
from rarefy.search._ladder import checked


@pytest.mark.parametrize("floor", [0.5, 0.3, 0.1, 0.05, 0.01, 0.001])
@pytest.mark.parametrize("step", [0.25, 0.5, 0.5**0.5])
def test_it_falls_by_the_step_down_to_the_floor(floor: float, step: float) -> None:
    rungs = ladder(floor, step)
    assert rungs[-1] == floor
    assert rungs[0] == 0.5
    for denser, sparser in itertools.pairwise(rungs[:-1]):
        assert sparser / denser == pytest.approx(step, rel=0.07)  # two digits
    assert list(rungs) == sorted(set(rungs), reverse=True)


@pytest.mark.parametrize(("floor", "step"), [(0.0, 0.5), (0.6, 0.5), (0.1, 1.0), (0.1, 0.0)])
def test_what_makes_no_ladder_is_told(floor: float, step: float) -> None:
    with pytest.raises(ValueError, match="smallest density has to be above 0"):
        ladder(floor, step)


def test_given_densities_are_put_in_order_and_checked() -> None:
    assert checked([0.1, 0.5, 0.1]) == (0.5, 0.1)
    for wrong, said in ([], "got none"), ([0.1, 1.0], r"got 1\.0"), ([10], "got 10"), ([0], "got 0"):
        with pytest.raises(ValueError, match=said):
            checked(wrong)
