"""The k best, exactly, against a full sort in plain Python."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rarefy.topology._select import compute_magnitude, mark_highest, mark_highest_per_row, mark_lowest

ELEMENTS = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=1, max_size=40)


def by_sorting(scores: list[float], among: list[bool], count: int) -> list[bool]:
    order = sorted((i for i in range(len(scores)) if among[i]), key=lambda i: (-scores[i], i))
    return [i in order[:count] for i in range(len(scores))]


@given(ELEMENTS, st.data())
def test_highest_is_a_sort_with_ties_to_the_lower_index(elements: list[tuple[int, bool]], data: st.DataObject) -> None:
    scores, among = [float(score) for score, _ in elements], [allowed for _, allowed in elements]
    count = data.draw(st.integers(0, sum(among)))
    tensors = torch.tensor(scores), torch.tensor(among)
    assert mark_highest(*tensors, count).tolist() == by_sorting(scores, among, count)
    assert mark_lowest(*tensors, count).tolist() == by_sorting([-score for score in scores], among, count)


@given(st.integers(1, 5), st.integers(1, 7), st.integers(0, 2**32), st.data())
def test_highest_in_rows_is_highest_row_by_row(rows: int, columns: int, seed: int, data: st.DataObject) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(rows, columns, generator=generator).round()
    among = torch.rand(rows, columns, generator=generator) < 0.7
    counts = [data.draw(st.integers(0, int(row.sum()))) for row in among]
    found = mark_highest_per_row(scores, among, torch.tensor(counts))
    for i, count in enumerate(counts):
        assert found[i].tolist() == by_sorting(scores[i].tolist(), among[i].tolist(), count)


def test_ties_go_by_the_logical_index_whatever_the_memory_format() -> None:
    scores = torch.ones(2, 3, 2, 2).to(memory_format=torch.channels_last)
    found = mark_highest(scores, torch.ones_like(scores, dtype=torch.bool), 5)
    assert found.flatten().tolist() == [True] * 5 + [False] * 19


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_magnitude_is_at_least_single_precision(dtype: torch.dtype) -> None:
    values = compute_magnitude(torch.tensor([-60000.0, 2.0**-10], dtype=dtype))
    assert values.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert torch.isfinite(values * values).all() and (values * values > 0).all()
