"""Wilson's interval against scipy's, and by hand."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from rarefy.statistics import wilson_interval


@pytest.mark.parametrize(("right", "total"), [(0, 1), (1, 1), (0, 50), (50, 50), (1, 3), (8, 10), (9123, 10_000)])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_it_is_scipy_s(right: int, total: int, confidence: float) -> None:
    expected = binomtest(right, total).proportion_ci(confidence, method="wilson")
    assert wilson_interval(right, total, confidence) == pytest.approx([expected.low, expected.high], rel=1e-9)


def test_by_hand() -> None:
    """With p = 1/2 it is 1/2 +- z / (2 sqrt(n + z^2))."""
    z = 1.959963984540054
    half = z / 2 / (100 + z**2) ** 0.5
    assert wilson_interval(50, 100) == pytest.approx([0.5 - half, 0.5 + half])


def test_the_ends_are_exact() -> None:
    for total in range(1, 300):
        assert wilson_interval(0, total)[0] == 0.0
        assert wilson_interval(total, total)[1] == 1.0


@pytest.mark.parametrize(("right", "total", "confidence"), [(0, 0, 0.95), (3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0)])
def test_what_has_no_interval(right: int, total: int, confidence: float) -> None:
    with pytest.raises(ValueError, match="got"):
        wilson_interval(right, total, confidence)
