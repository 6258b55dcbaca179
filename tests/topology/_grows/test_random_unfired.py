"""The random_unfired grow rule by hand."""

from __future__ import annotations

import torch

from rarefy.topology import GROWS

WEIGHT = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]


def test_random_unfired_takes_the_never_kept_first(layer, list_marked) -> None:
    pruned = layer(WEIGHT, explored=[1, 1, 1, 0, 0, 1])
    among = torch.tensor([False, True, True, True, True, True])
    rule = GROWS.build("random_unfired")
    assert all(list_marked(rule(pruned, among, 2, key)) == [3, 4] for key in range(20))
    for key in range(20):
        more = list_marked(rule(pruned, among, 3, key))
        assert len(more) == 3 and {3, 4} < set(more) <= {1, 2, 3, 4, 5}
        assert len(list_marked(rule(pruned, among, 1, key))) == 1
