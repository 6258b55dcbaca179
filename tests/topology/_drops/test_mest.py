"""MEST's drop rule by hand."""

from __future__ import annotations

import pytest

from rarefy.topology import DROPS


def test_mest(layer, list_marked) -> None:
    kept = layer([1.0, -0.8, 0.9, 0.0], gradient=[0.0, 3.0, -0.5, 9.0])  # 1.0, 1.1, 0.95 with lambda = 0.1
    assert list_marked(DROPS.build("mest", gradient_weight=0.1)(kept, 1)) == [2]
    assert list_marked(DROPS.build("mest", gradient_weight=0.0)(kept, 1)) == [1]
    with pytest.raises(ValueError, match="0 or more, got -1"):
        DROPS.build("mest", gradient_weight=-1.0)
