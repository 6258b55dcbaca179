"""The magnitude drop rule by hand."""

from __future__ import annotations

from rarefy.topology import DROPS

WEIGHT = [0.1, -0.5, 0.3, -0.2, 0.4, 0.0, 0.0]


def test_magnitude(layer, list_marked) -> None:
    assert list_marked(DROPS.build("magnitude")(layer(WEIGHT), 3)) == [0, 2, 3]
