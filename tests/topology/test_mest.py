from __future__ import annotations

import pytest

from rarefy.topology import TOPOLOGIES, UpdateStep, update


@pytest.mark.parametrize(("gradient_weight", "dropped"), [(0.1, 2), (0.0, 1)])
def test_by_hand(layer, gradient_weight: float, dropped: int) -> None:
    mest = TOPOLOGIES.build("mest", gradient_weight=gradient_weight, fraction=0.34, schedule="constant", stop=1)
    kept = layer([1.0, -0.8, 0.9, 0.0], gradient=[0.0, 3.0, -0.5, 9.0])  # 1.0, 1.1, 0.95 with lambda = 0.1
    mask = update(mest, [kept], UpdateStep(100, None, 17))["fc.weight"]
    assert [i for i in range(4) if not mask[i]] == [dropped]


def test_the_fraction_falls_linearly(random_layer) -> None:
    mest, kept = TOPOLOGIES.build("mest"), random_layer((50, 20), 100, 1)
    dropped = []
    for step in (0, 250, 500, 750):
        mask = update(mest, [kept], UpdateStep(step, 1000, 17))[kept.name]
        dropped.append(int((kept.mask & ~mask).sum()))
    assert dropped == [30, 20, 10, 0]


def test_a_negative_weight_of_the_gradient_is_refused_when_built() -> None:
    with pytest.raises(ValueError, match="0 or more"):
        TOPOLOGIES.build("mest", gradient_weight=-0.1)
