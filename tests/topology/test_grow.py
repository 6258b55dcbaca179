"""Every grow rule on a layer small enough to do by hand."""

from __future__ import annotations

import pytest
import torch

from rarefy.topology import GROWS

WEIGHT = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]


def where(marked: torch.Tensor) -> list[int]:
    return marked.nonzero().flatten().tolist()


@pytest.mark.parametrize("name", ["gradient", "momentum"])
def test_the_largest_magnitude_among_the_candidates(layer, name: str) -> None:
    pruned = layer(WEIGHT, **{name: [9.0, 1.0, -3.0, 2.0, 3.0, -4.0]})
    among = torch.tensor([False, True, True, True, True, False])
    assert where(GROWS.build(name)(pruned, among, 2, 0)) == [2, 4]
    assert where(GROWS.build(name)(pruned, among, 1, 0)) == [2]  # |-3| = |3|: the lower index


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


def test_random_unfired_takes_the_never_kept_first(layer) -> None:
    pruned = layer(WEIGHT, explored=[1, 1, 1, 0, 0, 1])
    among = torch.tensor([False, True, True, True, True, True])
    rule = GROWS.build("random_unfired")
    assert all(where(rule(pruned, among, 2, key)) == [3, 4] for key in range(20))
    for key in range(20):
        more = where(rule(pruned, among, 3, key))
        assert len(more) == 3 and {3, 4} < set(more) <= {1, 2, 3, 4, 5}
        assert len(where(rule(pruned, among, 1, key))) == 1


@pytest.mark.parametrize("name", ["gradient", "momentum"])
def test_a_missing_tensor_is_named(layer, name: str) -> None:
    with pytest.raises(ValueError, match=rf"needs the {name} of 'fc\.weight'"):
        GROWS.build(name)(layer(WEIGHT), torch.ones(6, dtype=torch.bool), 1, 0)
