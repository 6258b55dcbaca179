"""Diagnostics by hand."""

from __future__ import annotations

import pytest
import torch

from rarefy.topology import compute_exploration_rate, compute_overlap, count_active_units


def test_exploration_rate_weighs_layers_by_size() -> None:
    explored = {"a": torch.tensor([True, False]), "b": torch.tensor([True] * 5 + [False])}
    assert compute_exploration_rate(explored) == 6 / 8
    assert compute_exploration_rate({}) == 1.0


def test_overlap() -> None:
    before = {"a": torch.tensor([True, True, True, False]), "b": torch.tensor([True, False])}
    after = {"a": torch.tensor([True, False, True, True]), "b": torch.tensor([True, False])}
    assert compute_overlap(before, after) == (3 / 5, 3 / 4)
    assert compute_overlap(before, before) == (1.0, 1.0)
    assert compute_overlap({"a": torch.tensor([False])}, {"a": torch.tensor([False])}) == (1.0, 1.0)
    with pytest.raises(ValueError, match="only one has b"):
        compute_overlap(before, {"a": after["a"]})


def test_active_units_of_a_convolution() -> None:
    mask = torch.zeros(4, 3, 3, 3, dtype=torch.bool)
    mask[0, 1, 2, 2] = mask[2, 1, 0, 0] = mask[2, 2, 0, 0] = True
    assert count_active_units(mask) == (2, 2, 2, 1)


def test_active_units_of_a_vector() -> None:
    assert count_active_units(torch.tensor([True, False, True])) == (2, 1, 1, 0)
