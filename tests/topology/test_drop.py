"""Every drop rule on a layer small enough to do by hand."""

from __future__ import annotations

import pytest
import torch

from rarefy.topology import DROPS

WEIGHT = [0.1, -0.5, 0.3, -0.2, 0.4, 0.0, 0.0]


def where(marked: torch.Tensor) -> list[int]:
    return marked.nonzero().flatten().tolist()


def test_magnitude(layer) -> None:
    assert where(DROPS.build("magnitude")(layer(WEIGHT), 3)) == [0, 2, 3]


def test_set_takes_the_same_fraction_of_each_sign(layer) -> None:
    weight = [0.1, 0.2, -1.0, -2.0, -3.0, -4.0, 0.0]
    assert where(DROPS.build("set")(layer(weight), 3)) == [0, 2, 3]  # 1 of 2 positive, 2 of 4 negative
    assert where(DROPS.build("set")(layer(weight), 2)) == [0, 2]  # round(2 * 2/6) = 1


@pytest.mark.parametrize("weight", [[1.0, 2.0, 3.0], [-1.0, -2.0, -3.0], [1.0, -2.0, -3.0]])
@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_set_is_exact_whatever_the_signs(layer, weight: list[float], count: int) -> None:
    assert DROPS.build("set")(layer(weight), count).sum() == count


def test_set_counts_a_kept_zero_as_the_smallest_positive(layer) -> None:
    kept = layer([0.0, 0.5, -0.5, -0.6, 0.0], mask=[1, 1, 1, 1, 0])
    assert where(DROPS.build("set")(kept, 2)) == [0, 2]  # one of two positive, one of two negative


def test_threshold_takes_what_is_below_but_no_more_than_asked(layer) -> None:
    rule = DROPS.build("threshold", level=0.3)
    assert where(rule(layer(WEIGHT), 5)) == [0, 3]  # 0.3 is not below 0.3
    assert where(rule(layer(WEIGHT), 1)) == [0]


def test_taylor(layer) -> None:
    kept = layer([1.0, -2.0, 0.5, 0.0], gradient=[0.3, 0.1, -2.0, 9.0])  # 0.3, 0.2, 1.0
    assert where(DROPS.build("taylor")(kept, 1)) == [1]


def test_taylor_survives_products_that_vanish_in_half_precision(layer) -> None:
    weight = torch.tensor([2.0**-14, 2.0**-13], dtype=torch.float16)
    kept = layer(weight, gradient=torch.tensor([2.0**-13, 2.0**-15], dtype=torch.float16))
    assert where(DROPS.build("taylor")(kept, 1)) == [1]


def test_mest(layer) -> None:
    kept = layer([1.0, -0.8, 0.9, 0.0], gradient=[0.0, 3.0, -0.5, 9.0])  # 1.0, 1.1, 0.95 with lambda = 0.1
    assert where(DROPS.build("mest", gradient_weight=0.1)(kept, 1)) == [2]
    assert where(DROPS.build("mest", gradient_weight=0.0)(kept, 1)) == [1]
    with pytest.raises(ValueError, match="0 or more, got -1"):
        DROPS.build("mest", gradient_weight=-1.0)


@pytest.mark.parametrize("name", DROPS.names())
def test_equal_scores_go_to_the_lower_index_and_pruned_weights_are_left_alone(layer, name: str) -> None:
    options = {"level": 3.0} if name == "threshold" else {}
    kept = layer([0.0, 2.0, 2.0, 2.0, 0.0, 2.0], gradient=[1.0] * 6)
    assert where(DROPS.build(name, **options)(kept, 2)) == [1, 2]


@pytest.mark.parametrize("name", ["taylor", "mest"])
def test_a_missing_gradient_is_named(layer, name: str) -> None:
    with pytest.raises(ValueError, match=r"needs the gradient of 'fc\.weight'"):
        DROPS.build(name)(layer(WEIGHT), 1)
