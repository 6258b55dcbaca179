"""Measures of how masks move: pure functions of masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from rarefy.errors import InvalidInput


class Overlap(NamedTuple):
    """How much of a network's masks is left after an update.

    Args:
        jaccard: Weights kept both before and after / weights kept before or after, in [0, 1].
        retained: Weights kept both before and after / weights kept before, in [0, 1].

    Example:
        >>> Overlap(jaccard=0.6, retained=0.75).retained
        0.75
    """

    jaccard: float
    retained: float


class Units(NamedTuple):
    """Numbers of a layer's units with at least one kept weight, and of dead ones.

    Example:
        >>> Units(outputs=1, inputs=1, dead_outputs=1, dead_inputs=2).dead_inputs
        2
    """

    outputs: int
    inputs: int
    dead_outputs: int
    dead_inputs: int


def compute_exploration_rate(explored: Mapping[str, Tensor]) -> float:
    """Computes the fraction of all weights that were ever kept: the in-time over-parameterisation rate R_s.

    Args:
        explored: Layer name to bool tensor, True where the weight was ever kept.

    Returns:
        A fraction in [0, 1]; 1 if there are no weights.

    Example:
        >>> import torch
        >>> compute_exploration_rate({"fc.weight": torch.tensor([True, True, False, False])})
        0.5

    References:
        Liu et al., 2021, arXiv:2102.02887, section 3.
    """
    total = sum(mask.numel() for mask in explored.values())
    return sum(_count(mask) for mask in explored.values()) / total if total else 1.0


def compute_overlap(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> Overlap:
    """Compares the masks of a network before and after an update.

    Args:
        before: Layer name to bool tensor.
        after: The same names and shapes.

    Returns:
        Two fractions, 1 if nothing moved.

    Raises:
        ValueError: If the names differ.

    Example:
        >>> import torch
        >>> before, after = torch.tensor([True, True, False]), torch.tensor([True, False, True])
        >>> compute_overlap({"fc.weight": before}, {"fc.weight": after})
        Overlap(jaccard=0.3333333333333333, retained=0.5)
    """
    if before.keys() != after.keys():
        raise InvalidInput(
            f"Both need the same layers; only one has {', '.join(sorted(before.keys() ^ after.keys()))}."
        )
    both = sum(_count(before[name] & after[name]) for name in before)
    either = sum(_count(before[name] | after[name]) for name in before)
    kept = sum(_count(mask) for mask in before.values())
    return Overlap(both / either if either else 1.0, both / kept if kept else 1.0)


def count_active_units(mask: Tensor) -> Units:
    """Counts output units (dimension 0) and input units (dimension 1) with and without a kept weight.

    In a grouped convolution dimension 1 holds the inputs of one group, in a transposed one dimension 0 the inputs.

    Args:
        mask: Bool tensor of at least one dimension; without a dimension 1 there is one input unit.

    Returns:
        Numbers of active and of dead units.

    Example:
        >>> import torch
        >>> count_active_units(torch.tensor([[True, False, False], [False, False, False]]))
        Units(outputs=1, inputs=1, dead_outputs=1, dead_inputs=2)
    """
    table = mask.reshape(*mask.shape[:2], -1) if mask.dim() > 1 else mask.reshape(-1, 1, 1)
    pairs = table.any(2)
    outputs, inputs = _count(pairs.any(1)), _count(pairs.any(0))
    return Units(outputs, inputs, pairs.shape[0] - outputs, pairs.shape[1] - inputs)


def _count(mask: Tensor) -> int:
    return int(mask.count_nonzero())
