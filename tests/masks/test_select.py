"""The quick selection is a full sort's, whatever the window."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rarefy import masks
from rarefy.masks import _select


def by_sorting(reference: SimpleNamespace, key: int, k: int, among: list[bool]) -> list[bool]:
    allowed = [i for i, may in enumerate(among) if may]
    chosen = set(sorted(allowed, key=lambda i: reference.score(key, i))[:k])
    return [i in chosen for i in range(len(among))]


@settings(deadline=None, max_examples=100)
@given(data=st.data(), key=st.integers(0, 2**64 - 1), among=st.lists(st.booleans(), max_size=60))
def test_smallest_is_a_full_sort(reference: SimpleNamespace, data: st.DataObject, key: int, among: list[bool]) -> None:
    n = len(among)
    k = data.draw(st.integers(0, n))
    assert masks.mark_smallest(key, n, k).tolist() == by_sorting(reference, key, k, [True] * n)
    k = data.draw(st.integers(0, sum(among)))
    picked = masks.mark_smallest(key, n, k, among=torch.tensor(among, dtype=torch.bool))
    assert picked.tolist() == by_sorting(reference, key, k, among)


@pytest.mark.parametrize("k", [0, 1, 2, 1000, 10_000, 19_999, 20_000])
def test_smallest_over_several_chunks(reference: SimpleNamespace, k: int) -> None:
    assert masks.mark_smallest(7, 20_000, k).tolist() == by_sorting(reference, 7, k, [True] * 20_000)


@pytest.mark.parametrize("window", [1e-12, 1e-3, 0.3, 1e6])
def test_a_window_that_misses_is_widened(monkeypatch: pytest.MonkeyPatch, window: float) -> None:
    among = torch.arange(30_000) % 3 == 0
    wanted = [
        (masks.mark_smallest(3, 30_000, k), masks.mark_smallest(3, 30_000, k, among=among)) for k in (1, 500, 9999)
    ]
    attempts: list[bool] = []
    attempt = _select._attempt

    def counting(*arguments: object) -> bool:
        attempts.append(attempt(*arguments))  # type: ignore[arg-type]
        return attempts[-1]

    monkeypatch.setattr(_select, "_WINDOW", window)
    monkeypatch.setattr(_select, "_attempt", counting)
    found = [
        (masks.mark_smallest(3, 30_000, k), masks.mark_smallest(3, 30_000, k, among=among)) for k in (1, 500, 9999)
    ]
    assert all(
        torch.equal(a, b) for pair, other in zip(wanted, found, strict=True) for a, b in zip(pair, other, strict=True)
    )
    assert (False in attempts) == (window < 1)


def test_the_usual_window_does_not_miss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_select, "_WIDEN", float("nan"))  # a second attempt would fail
    for k in (1, 2, 10, 5_000, 49_990, 49_999):
        for key in range(20):
            assert masks.mark_smallest(key, 50_000, k).sum() == k


def test_random_choice_keeps_shape_and_picks_candidates_only() -> None:
    candidates = (torch.arange(64) % 3 != 1).view(4, 4, 4)
    picked = masks.mark_random(-1, candidates, 9)
    assert picked.shape == candidates.shape and picked.dtype == torch.bool
    assert int(picked.sum()) == 9 and not (picked & ~candidates).any()
    assert torch.equal(picked, masks.mark_random(2**64 - 1, candidates, 9))
    assert not torch.equal(picked, masks.mark_random(0, candidates, 9))


def test_random_choice_is_in_logical_order_and_leaves_its_input_alone() -> None:
    candidates = (torch.arange(6 * 4 * 2 * 2) % 3 != 0).view(6, 4, 2, 2)
    before = candidates.clone()
    lasting = candidates.to(memory_format=torch.channels_last)
    assert torch.equal(masks.mark_random(5, candidates, 20), masks.mark_random(5, lasting, 20))
    every = masks.mark_random(5, candidates, int(candidates.sum()))
    every.logical_not_()
    assert torch.equal(candidates, before)


def test_random_choice_is_fair() -> None:
    picked = torch.stack([masks.mark_random(key, torch.ones(20, dtype=torch.bool), 5) for key in range(2000)])
    # each of 20 is picked 500 times of 2000 on average, with a standard deviation of 19.4
    assert (picked.sum(0) - 500).abs().max() < 5 * 19.4


@pytest.mark.parametrize(
    ("among", "k", "message"),
    [
        (torch.tensor([True, False]), 2, "choose between 0 and 1"),
        (torch.tensor([True, False]), -1, "choose between 0 and 1"),
        (torch.tensor([1, 0]), 1, "bool tensor of shape"),
        (torch.ones(3, dtype=torch.bool), 1, r"\(2,\), not torch.bool \(3,\)"),
    ],
)
def test_refusals(among: Tensor, k: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        masks.mark_smallest(0, 2, k, among=among)


def test_the_windows_edges_belong_to_it(reference: SimpleNamespace) -> None:
    values = sorted((reference.score(9, i), i) for i in range(50))
    marked = np.empty(50, np.bool_)
    below, (index, score) = _select._split_scores(marked, 9, (values[10][0], values[19][0]), None)
    assert below == 10 and np.flatnonzero(marked).tolist() == sorted(i for _, i in values[:10])
    assert sorted(zip(score.tolist(), index.tolist(), strict=True)) == values[10:20]
