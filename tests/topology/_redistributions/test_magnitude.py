"""The redistribution magnitude by hand."""

from __future__ import annotations

from rarefy.topology import REDISTRIBUTIONS


def test_shares_by_hand(layers) -> None:
    assert REDISTRIBUTIONS.build("magnitude")(layers, {"a": 1, "b": 3}) == {"a": 3, "b": 1}  # 3 : 1


def test_what_has_no_room_is_left_to_the_others(layer) -> None:
    layers = [layer([9.0, 9.0, 0.0], name="a"), layer([1.0, 1.0, 1.0, 0.0, 0.0], name="b")]
    # 90% of 3 dropped weights would be 2.7, but "a" has room for its own one and one more
    assert REDISTRIBUTIONS.build("magnitude")(layers, {"a": 1, "b": 2}) == {"a": 2, "b": 1}
