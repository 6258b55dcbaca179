"""The gradient grow rule by hand."""

from __future__ import annotations

import pytest
import torch

from rarefy.topology import GROWS

WEIGHT = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]


def test_the_largest_magnitude_among_the_candidates(layer, list_marked) -> None:
    pruned = layer(WEIGHT, gradient=[9.0, 1.0, -3.0, 2.0, 3.0, -4.0])
    among = torch.tensor([False, True, True, True, True, False])
    assert list_marked(GROWS.build("gradient")(pruned, among, 2, 0)) == [2, 4]
    assert list_marked(GROWS.build("gradient")(pruned, among, 1, 0)) == [2]  # |-3| = |3|: the lower index


def test_a_missing_tensor_is_named(layer) -> None:
    with pytest.raises(ValueError, match=r"needs the gradient of 'fc\.weight'"):
        GROWS.build("gradient")(layer(WEIGHT), torch.ones(6, dtype=torch.bool), 1, 0)
