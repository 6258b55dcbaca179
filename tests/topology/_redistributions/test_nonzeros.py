"""The redistribution nonzeros by hand."""

from __future__ import annotations

from rarefy.topology import REDISTRIBUTIONS


def test_shares_by_hand(layers) -> None:
    assert REDISTRIBUTIONS.build("nonzeros")(layers, {"a": 1, "b": 3}) == {"a": 1, "b": 3}  # 2 : 4 of 4 = 1.33 : 2.67
