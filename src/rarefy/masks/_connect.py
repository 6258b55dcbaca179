"""Masks that leave no unit without an input or an output: the same scores, in another order where a unit is missing."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rarefy.errors import InvalidInput
from rarefy.masks._hash import Scores, derive_mask_key, generate_scores
from rarefy.masks._masks import Shape
from rarefy.masks._select import mark_smallest

Bools = NDArray[np.bool_]
Indices = NDArray[np.int64]
Label = Callable[[Indices], Indices]

_HIGHEST = np.uint64(2**64 - 1)


def count_connecting(shape: Shape, groups: int = 1) -> int:
    """Counts the fewest weights with which every unit of a layer has an input and an output.

    Args:
        shape: Shape of the weight, ``(outputs, inputs of a group, ...)``.
        groups: Groups of a convolution.

    Example:
        >>> count_connecting((10, 64)), count_connecting((64, 1, 3, 3), groups=64)
        (64, 64)
    """
    layer = _Layer.of(shape, groups)
    return groups * max(layer.rows // groups, layer.columns)


def draw_connected(name: str, shape: Shape, kept: int, seed: int, *, groups: int = 1) -> Tensor:
    """Draws the mask of one layer in which every output unit has an input, and every input unit an output.

    It is the mask that `draw_mask` draws, if that leaves no unit out. Otherwise the weights that have the lowest score
    of their output or of their input come first; if they are too many, one weight in each of as many pairs as there are
    units on the larger side does. The weights with the lowest scores of all others follow, up to the count. See the
    specification in the documentation.

    Args:
        name: The layer's name.
        shape: Shape of the weight, ``(outputs, inputs of a group, ...)``.
        kept: How many weights to keep, at least `count_connecting`.
        seed: Any integer.
        groups: Groups of a convolution.

    Returns:
        A bool tensor of that shape on the CPU with exactly ``kept`` True.

    Raises:
        InvalidInput: If so few or so many weights cannot be kept.

    Example:
        >>> mask = draw_connected("fc.weight", (4, 6), 6, seed=17)
        >>> bool(mask.any(0).all() and mask.any(1).all()), int(mask.sum())
        (True, 6)
    """
    least, size = count_connecting(shape, groups), math.prod(shape)
    if not least <= kept <= size:
        raise InvalidInput(
            f"{name!r} of shape {tuple(shape)} cannot keep {kept} weights and connect every unit: keep between {least} "
            f"and {size}.",
            name=name,
            value=kept,
        )
    layer, key = _Layer.of(shape, groups), derive_mask_key(seed, name)
    mask = mark_smallest(key, size, kept)
    if not layer.connects(mask.numpy()):
        first = _choose_first(layer, key, kept)
        others = mark_smallest(key, size, kept - int(np.count_nonzero(first)), among=torch.from_numpy(~first))
        mask = others | torch.from_numpy(first)
    return mask.view(tuple(shape))


@dataclasses.dataclass(frozen=True)
class _Layer:
    """The units of a layer: outputs are rows; inputs are columns, numbered through the groups of a convolution."""

    rows: int
    columns: int
    kernel: int
    groups: int

    @classmethod
    def of(cls, shape: Shape, groups: int) -> _Layer:
        columns = shape[1] if len(shape) > 1 else 1
        return cls(shape[0], columns, math.prod(shape[2:]), groups)

    @property
    def size(self) -> int:
        return self.rows * self.columns * self.kernel

    def get_row(self, index: Indices) -> Indices:
        return index // (self.columns * self.kernel)

    def get_column(self, index: Indices) -> Indices:
        group = self.get_row(index) // (self.rows // self.groups)
        return group * self.columns + index // self.kernel % self.columns

    def connects(self, mask: Bools) -> bool:
        pairs = np.logical_or.reduce(mask.reshape(self.groups, -1, self.columns, self.kernel), axis=3)
        return bool(pairs.any(1).all() and pairs.any(2).all())


def _choose_first(layer: _Layer, key: int, kept: int) -> Bools:
    """Marks the weights that come before all others."""
    rows = _find_lowest(layer, key, layer.get_row, layer.rows)
    columns = _find_lowest(layer, key, layer.get_column, layer.groups * layer.columns)
    first = _mark(layer, key, layer.get_row, rows) | _mark(layer, key, layer.get_column, columns)
    if np.count_nonzero(first) <= kept:
        return first
    pair = _pair_units(layer, rows, columns)
    pairs = int(pair.max()) + 1

    def get_pair(index: Indices) -> Indices:
        return pair[layer.get_row(index), index // layer.kernel % layer.columns]

    return _mark(layer, key, get_pair, _find_lowest(layer, key, get_pair, pairs))


def _pair_units(layer: _Layer, rows: Scores, columns: Scores) -> Indices:
    """Numbers the pairs of units in each group: ``[rows, columns]``, -1 where a row and a column are no pair.

    Rows and columns of a group are put in order by their lowest scores. The first row makes a pair with the first
    column, and so on; after the last unit of the smaller side comes its first again.
    """
    height, width = layer.rows // layer.groups, layer.columns
    pair = np.full((layer.rows, width), -1, np.int64)
    turns = np.arange(max(height, width))
    for group in range(layer.groups):
        order = np.argsort(rows[group * height : (group + 1) * height])
        across = np.argsort(columns[group * width : (group + 1) * width])
        pair[group * height + order[turns % height], across[turns % width]] = group * len(turns) + turns
    return pair


def _find_lowest(layer: _Layer, key: int, label: Label, labels: int) -> Scores:
    """Finds the lowest score under each label; indices labelled -1 have none."""
    lowest = np.full(labels, _HIGHEST)
    for index, scores in _visit(layer, key):
        found = label(index)
        np.minimum.at(lowest, found[found >= 0], scores[found >= 0])
    return lowest


def _mark(layer: _Layer, key: int, label: Label, lowest: Scores) -> Bools:
    """Marks the weights whose score is the lowest under their label."""
    marked = np.zeros(layer.size, np.bool_)
    for index, scores in _visit(layer, key):
        found = label(index)
        marked[index] = (found >= 0) & (scores == lowest[found])
    return marked


def _visit(layer: _Layer, key: int) -> Iterator[tuple[Indices, Scores]]:
    for start, scores in generate_scores(key, layer.size):
        yield np.arange(start, start + len(scores)), scores
