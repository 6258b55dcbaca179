"""Class-balanced samples, counted by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rarefy.data import Split, draw_balanced


def numbered(labels: list[int]) -> Split:
    """Image i has the one pixel i."""
    pixels = torch.arange(len(labels), dtype=torch.uint8).view(-1, 1, 1, 1)
    return Split(pixels, torch.tensor(labels))


def draw(split: Split, count: int, seed: int = 1) -> tuple[list[int], list[int]]:
    images, labels = draw_balanced(split, count, torch.Generator().manual_seed(seed))
    return images.flatten().tolist(), labels.tolist()


def test_labels_go_round_until_a_class_is_used_up() -> None:
    split = numbered([2, 2, 0, 0, 0, 0, 5])
    assert draw(split, 7)[1] == [0, 2, 5, 0, 2, 0, 0]
    assert draw(split, 4)[1] == [0, 2, 5, 0]


@settings(deadline=None, max_examples=50)
@given(labels=st.lists(st.integers(0, 6), min_size=1, max_size=60), data=st.data())
def test_balance_for_whatever_labels(labels: list[int], data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(labels)))
    images, drawn = draw(numbered(labels), count)
    assert len(set(images)) == count
    assert drawn == [labels[image] for image in images]
    most = max(drawn.count(label) for label in set(labels))
    for label in set(labels):
        assert drawn.count(label) >= min(most - 1, labels.count(label))


def test_the_generator_decides_which() -> None:
    split = numbered([0, 1] * 30)
    assert draw(split, 10, seed=1) == draw(split, 10, seed=1)
    assert draw(split, 10, seed=1)[0] != draw(split, 10, seed=2)[0]
    assert draw(split, 10, seed=1)[0] == draw(split, 60, seed=1)[0][:10]


@pytest.mark.parametrize("count", [0, -1, 4])
def test_a_count_that_does_not_fit_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"Cannot draw {count} images from a split of 3; use 1 to 3"):
        draw(numbered([0, 1, 2]), count)
