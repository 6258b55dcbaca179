"""Finds output channels that read the same positions: a kernel loads each position once for all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np

from rarefy.engines._cpu.planes._operations import Array

_COSTS = {1: 1.0, 2: 0.7, 4: 0.5, 8: 0.4}  # of a weight in a kernel for so many channels, roughly


@dataclasses.dataclass(frozen=True)
class ChannelGroups:
    """The weights of consecutive output channels, of which every `size` read the same positions.

    Args:
        first: The first channel.
        size: Channels of a group.
        starts: Where each group's positions begin, and where the last one's end, [groups + 1].
        offsets: The positions, [positions].
        values: The weights, [positions, size]; 0 where a channel of the group has none.
    """

    first: int
    size: int
    starts: Array
    offsets: Array
    values: Array

    @property
    def count(self) -> int:
        """The number of groups."""
        return len(self.starts) - 1


def group_channels(k: Array, offsets: Array, values: Array, channels: int, sizes: Iterable[int]) -> list[ChannelGroups]:
    """Divides output channels into groups of the size that is likely the fastest.

    Args:
        k: Output channel of each weight, ascending, [nnz].
        offsets: Position of each weight, [nnz].
        values: The weights, [nnz].
        channels: Output channels.
        sizes: Sizes that have a kernel; 1 is always one of them.

    Returns:
        Groups of one size for as many channels as it divides, then smaller ones for the rest.

    Example:
        >>> groups = group_channels(np.array([0, 1, 2]), np.array([5, 5, 7]), np.ones(3), 3, [1, 2])
        >>> [(group.first, group.size, group.offsets.tolist()) for group in groups]
        [(0, 2, [5]), (2, 1, [7])]
    """
    first, found = 0, list[ChannelGroups]()
    while first < channels:
        size = min(
            (size for size in sorted(sizes) if size <= channels - first),
            key=lambda size: _estimate_cost(k - first, offsets, size, (channels - first) // size),
        )
        found.append(_make_groups(k - first, offsets, values, size, (channels - first) // size, first))
        first += found[-1].count * size
    return found


def _estimate_cost(k: Array, offsets: Array, size: int, count: int) -> float:
    """Estimates the time for a weight, if the first channels were in so many groups."""
    inside = (k >= 0) & (k < size * count)
    positions = np.unique(_number_positions(k[inside] // size, offsets[inside]))
    return _COSTS[size] * size * positions.size / max(1, int(inside.sum()))


def _number_positions(groups: Array, offsets: Array) -> Array:
    """Gives every position of every group a number, ascending by group."""
    least = offsets.min(initial=0)
    numbers: Array = groups * (offsets.max(initial=0) - least + 1) + offsets - least
    return numbers


def _make_groups(k: Array, offsets: Array, values: Array, size: int, count: int, first: int) -> ChannelGroups:
    inside = (k >= 0) & (k < size * count)
    k, offsets, values = k[inside], offsets[inside], values[inside]
    _, at, positions = np.unique(_number_positions(k // size, offsets), return_index=True, return_inverse=True)
    table = np.zeros((at.size, size))
    np.add.at(table, (positions, k % size), values)
    starts = np.searchsorted(k[at] // size, np.arange(count + 1))
    return ChannelGroups(first, size, starts, offsets[at], table)
