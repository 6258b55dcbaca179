from __future__ import annotations

from rarefy.scaling import SCALINGS, Factors, LayerRatio


def test_nothing_is_scaled() -> None:
    assert SCALINGS.build("none")(LayerRatio(0.01, 8, 2), "sgd") == Factors(1, 1, 1, 1)
