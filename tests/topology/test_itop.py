from __future__ import annotations

import torch

from rarefy.topology import TOPOLOGIES, UpdateStep, compute_exploration_rate, update


def explore(random_layer, grow: str, updates: int) -> float:
    itop = TOPOLOGIES.build("itop", grow=grow, interval=10, schedule="constant")
    mask, explored = random_layer((50, 20), 100, 0).mask, None
    for i in range(1, updates + 1):
        kept = random_layer((50, 20), 100, i, mask=mask, explored=explored)
        mask = update(itop, [kept], UpdateStep(10 * i, 10_000, 17))[kept.name]
        explored = kept.explored | mask
    return compute_exploration_rate({"fc.weight": explored})


def test_unfired_growth_explores_something_new_every_time(random_layer) -> None:
    # 100 of 1000 at first, 50 never kept before with every update: all after 18
    assert explore(random_layer, "random_unfired", 10) == 0.6
    assert explore(random_layer, "random_unfired", 18) == 1.0
    assert explore(random_layer, "random_unfired", 20) == 1.0


def test_random_growth_explores_less(random_layer) -> None:
    assert 0.3 < explore(random_layer, "random", 10) < 0.6


def test_interval_is_long_and_growth_can_be_the_gradient(layer) -> None:
    itop = TOPOLOGIES.build("itop", grow="gradient")
    assert [step for step in range(1, 4001) if itop.is_due(step, 4001)] == [1500, 3000]
    kept = layer([1.0, 0.1, 0.0, 0.0], gradient=[0.0, 0.0, 1.0, 2.0])
    assert update(itop, [kept], UpdateStep(0, 4000, 17))[kept.name].tolist() == [True, False, False, True]
    assert torch.equal(
        update(itop, [kept], UpdateStep(4000, 4000, 17))[kept.name], kept.mask
    )  # the fraction is 0 at the end
