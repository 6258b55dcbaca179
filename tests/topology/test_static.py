from __future__ import annotations

import torch

from rarefy.topology import TOPOLOGIES, UpdateStep, update


def test_it_is_never_due_and_gives_back_the_masks(layer) -> None:
    static, kept = TOPOLOGIES.build("static"), layer([1.0, 0.0, -2.0])
    assert not any(static.is_due(step, steps) for step in range(1, 500) for steps in (None, 400))
    assert static.initial_density(0.05) == 0.05 and static.needs == frozenset()
    assert torch.equal(update(static, [kept], UpdateStep(1, None, 0))["fc.weight"], kept.mask)
