"""SET's drop rule by hand."""

from __future__ import annotations

import pytest

from rarefy.topology import DROPS


def test_set_takes_the_same_fraction_of_each_sign(layer, list_marked) -> None:
    weight = [0.1, 0.2, -1.0, -2.0, -3.0, -4.0, 0.0]
    assert list_marked(DROPS.build("set")(layer(weight), 3)) == [0, 2, 3]  # 1 of 2 positive, 2 of 4 negative
    assert list_marked(DROPS.build("set")(layer(weight), 2)) == [0, 2]  # round(2 * 2/6) = 1


@pytest.mark.parametrize("weight", [[1.0, 2.0, 3.0], [-1.0, -2.0, -3.0], [1.0, -2.0, -3.0]])
@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_set_is_exact_whatever_the_signs(layer, weight: list[float], count: int) -> None:
    assert DROPS.build("set")(layer(weight), count).sum() == count


def test_set_counts_a_kept_zero_as_the_smallest_positive(layer, list_marked) -> None:
    kept = layer([0.0, 0.5, -0.5, -0.6, 0.0], mask=[1, 1, 1, 1, 0])
    assert list_marked(DROPS.build("set")(kept, 2)) == [0, 2]  # one of two positive, one of two negative
