"""Diagnostics by hand."""

from __future__ import annotations

import pytest
import torch

from rarefy.topology import active_units, exploration_rate, gradient_norms, overlap


def test_exploration_rate_weighs_layers_by_size() -> None:
    explored = {"a": torch.tensor([True, False]), "b": torch.tensor([True] * 5 + [False])}
    assert exploration_rate(explored) == 6 / 8
    assert exploration_rate({}) == 1.0


def test_overlap() -> None:
    before = {"a": torch.tensor([True, True, True, False]), "b": torch.tensor([True, False])}
    after = {"a": torch.tensor([True, False, True, True]), "b": torch.tensor([True, False])}
    assert overlap(before, after) == (3 / 5, 3 / 4)
    assert overlap(before, before) == (1.0, 1.0)
    assert overlap({"a": torch.tensor([False])}, {"a": torch.tensor([False])}) == (1.0, 1.0)
    with pytest.raises(ValueError, match="only one has b"):
        overlap(before, {"a": after["a"]})


def test_gradient_norms() -> None:
    gradients = {"a": torch.tensor([[3.0, 1.0], [1.0, 0.0]]), "b": torch.tensor([4.0, 1.0, 1.0])}
    masks = {"a": gradients["a"] == 3, "b": gradients["b"] == 4}
    assert gradient_norms(gradients, masks) == (5.0, 2.0)


def test_gradient_norms_do_not_overflow_in_half_precision() -> None:
    gradient = torch.full((4,), 60000.0, dtype=torch.float16)
    norms = gradient_norms({"a": gradient}, {"a": torch.ones(4, dtype=torch.bool)})
    assert norms.kept == pytest.approx(2 * float(gradient[0])) and norms.pruned == 0.0


def test_active_units_of_a_convolution() -> None:
    mask = torch.zeros(4, 3, 3, 3, dtype=torch.bool)
    mask[0, 1, 2, 2] = mask[2, 1, 0, 0] = mask[2, 2, 0, 0] = True
    assert active_units(mask) == (2, 2, 2, 1)


def test_active_units_of_a_vector() -> None:
    assert active_units(torch.tensor([True, False, True])) == (2, 1, 1, 0)
