"""Which densities are tried."""

from __future__ import annotations

import itertools

import pytest

from rarefy.search import spaced_densities
from rarefy.search._densities import sort_densities


@pytest.mark.parametrize("floor", [0.5, 0.3, 0.1, 0.05, 0.01, 0.001])
@pytest.mark.parametrize("step", [0.25, 0.5, 0.5**0.5])
def test_it_falls_by_the_step_down_to_the_floor(floor: float, step: float) -> None:
    densities = spaced_densities(floor, step)
    assert densities[-1] == floor
    assert densities[0] == 0.5
    for denser, sparser in itertools.pairwise(densities[:-1]):
        assert sparser / denser == pytest.approx(step, rel=0.07)  # two digits
    assert list(densities) == sorted(set(densities), reverse=True)


@pytest.mark.parametrize(("floor", "step"), [(0.0, 0.5), (0.6, 0.5), (0.1, 1.0), (0.1, 0.0)])
def test_invalid_options_raise(floor: float, step: float) -> None:
    with pytest.raises(ValueError, match="smallest density has to be above 0"):
        spaced_densities(floor, step)


def test_given_densities_are_put_in_order_and_checked() -> None:
    assert sort_densities([0.1, 0.5, 0.1]) == (0.5, 0.1)
    for wrong, said in ([], "got none"), ([0.1, 1.0], r"got 1\.0"), ([10], "got 10"), ([0], "got 0"):
        with pytest.raises(ValueError, match=said):
            sort_densities(wrong)
