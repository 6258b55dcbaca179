"""The redistribution none by hand."""

from __future__ import annotations

from rarefy.topology import REDISTRIBUTIONS


def test_shares_by_hand(layers) -> None:
    assert REDISTRIBUTIONS.build("none")(layers, {"a": 1, "b": 3}) == {"a": 1, "b": 3}
