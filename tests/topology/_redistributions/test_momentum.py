"""The redistribution momentum by hand."""

from __future__ import annotations

from rarefy.topology import REDISTRIBUTIONS


def test_shares_by_hand(layers) -> None:
    assert REDISTRIBUTIONS.build("momentum")(layers, {"a": 1, "b": 3}) == {"a": 3, "b": 1}  # 4.5 : 1.5


def test_nothing_to_go_by_leaves_every_layer_its_own(layer) -> None:
    layers = [layer([1.0, 1.0, 0.0], momentum=[0.0] * 3, name=name) for name in "ab"]
    assert REDISTRIBUTIONS.build("momentum")(layers, {"a": 1, "b": 0}) == {"a": 1, "b": 0}
