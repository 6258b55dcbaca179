"""The threshold drop rule by hand."""

from __future__ import annotations

from rarefy.topology import DROPS

WEIGHT = [0.1, -0.5, 0.3, -0.2, 0.4, 0.0, 0.0]


def test_threshold_takes_what_is_below_but_no_more_than_asked(layer, list_marked) -> None:
    rule = DROPS.build("threshold", level=0.3)
    assert list_marked(rule(layer(WEIGHT), 5)) == [0, 3]  # 0.3 is not below 0.3
    assert list_marked(rule(layer(WEIGHT), 1)) == [0]
