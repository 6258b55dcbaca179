from __future__ import annotations

import torch

from rarefy.masks import mark_random
from rarefy.topology import TOPOLOGIES, UpdateStep, update

WEIGHT = [0.1, 0.2, -0.1, -0.2, -0.3, -0.4] + [0.0] * 94
UPDATE_STEP = UpdateStep(100, None, 17)


def lost(layer, drop: str) -> tuple[list[int], torch.Tensor]:
    topology = TOPOLOGIES.build("set", fraction=0.5, drop=drop, schedule="constant", stop=1)
    assert topology.needs == frozenset()
    mask = update(topology, [layer(WEIGHT)], UPDATE_STEP)["fc.weight"]
    return [i for i in range(6) if not mask[i]], mask


def test_magnitude_drop_with_ties_to_the_lower_index(layer) -> None:
    assert lost(layer, "magnitude")[0] == [0, 1, 2]  # 0.1, -0.1, and of 0.2 and -0.2 the first


def test_original_drop_takes_the_same_fraction_of_each_sign(layer) -> None:
    assert lost(layer, "set")[0] == [0, 2, 3]


def test_growth_is_the_seeded_choice_among_what_was_pruned(layer) -> None:
    mask = lost(layer, "magnitude")[1]
    expected = mark_random(UPDATE_STEP.derive_key("grow", "fc.weight"), torch.tensor(WEIGHT) == 0, 3)
    assert torch.equal(mask[6:], expected[6:]) and mask.sum() == 6
