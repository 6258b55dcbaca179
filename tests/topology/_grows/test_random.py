"""The random grow rule: exact, reproducible and uniform."""

from __future__ import annotations

import torch

from rarefy.topology import GROWS


def test_random_is_exact_among_candidates_and_a_function_of_the_key(layer) -> None:
    pruned, rule = layer(torch.zeros(200)), GROWS.build("random")
    among = torch.arange(200) % 2 == 0
    picks = [rule(pruned, among, 30, key) for key in (1, 1, 2)]
    assert torch.equal(picks[0], picks[1]) and not torch.equal(picks[0], picks[2])
    assert all(pick.sum() == 30 and not (pick & ~among).any() for pick in picks)


def test_random_reaches_every_candidate_equally_often(layer) -> None:
    pruned, among = layer(torch.zeros(10)), torch.ones(10, dtype=torch.bool)
    times = sum(GROWS.build("random")(pruned, among, 3, key).int() for key in range(2000))
    assert (times - 600).abs().max() < 5 * (2000 * 0.3 * 0.7) ** 0.5
