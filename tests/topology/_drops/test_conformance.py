"""Promises of every drop rule."""

from __future__ import annotations

import pytest

from rarefy.topology import DROPS

WEIGHT = [0.1, -0.5, 0.3, -0.2, 0.4, 0.0, 0.0]


@pytest.mark.parametrize("name", DROPS.names())
def test_equal_scores_go_to_the_lower_index_and_pruned_weights_are_left_alone(layer, list_marked, name: str) -> None:
    options = {"level": 3.0} if name == "threshold" else {}
    kept = layer([0.0, 2.0, 2.0, 2.0, 0.0, 2.0], gradient=[1.0] * 6)
    assert list_marked(DROPS.build(name, **options)(kept, 2)) == [1, 2]


@pytest.mark.parametrize("name", ["taylor", "mest"])
def test_a_missing_gradient_is_named(layer, name: str) -> None:
    with pytest.raises(ValueError, match=r"needs the gradient of 'fc\.weight'"):
        DROPS.build(name)(layer(WEIGHT), 1)
