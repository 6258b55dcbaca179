"""Groups of weights that are kept or removed together: blocks of a weight, one score per block."""

from __future__ import annotations

import abc
import functools
import math
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rarefy.errors import InvalidInput
from rarefy.masks._hash import derive_mask_key, generate_scores
from rarefy.masks._masks import Shape

_LARGEST = 4096

Bools = NDArray[np.bool_]
Integers = NDArray[np.int64]


class GroupPattern(abc.ABC):
    """A pattern whose groups are blocks of the weight, as large as its edges allow.

    The weights of a layer are put in order by the score of their group, and within a group by their flat index. The
    first ones are kept. So counts are exact, masks are nested, and at most one group of a layer is kept in part.
    """

    is_redrawn: ClassVar[bool] = True
    requirement: ClassVar[str] = "nothing"

    @abc.abstractmethod
    def block(self, shape: Shape) -> Shape:
        """Extent of a group along each dimension of a weight; groups at the end of a dimension may be smaller."""

    def fits(self, shape: Shape, kept: int) -> bool:
        """Returns True: every layer can have groups."""
        return True

    def draw(self, name: str, shape: Shape, kept: int, seed: int) -> Tensor:
        """Draws the mask of a layer."""
        block = self.block(shape)
        sizes = count_members(shape, block)
        order = np.argsort(_list_scores(derive_mask_key(seed, name), sizes.size))
        ends = np.cumsum(sizes.ravel()[order])
        whole = int(np.searchsorted(ends, kept, side="right"))
        chosen = np.zeros(sizes.size, np.bool_)
        chosen[order[:whole]] = True
        mask = expand_groups(chosen.reshape(sizes.shape), shape, block)
        rest = kept - (int(ends[whole - 1]) if whole else 0)
        if rest:
            mark_first(mask, block, int(order[whole]), rest)
        return torch.from_numpy(mask)


def count_members(shape: Shape, block: Shape) -> Integers:
    """Counts the weights of every group: ``[ceil(side / extent), ...]``, one number per block of the weight.

    Example:
        >>> count_members((10, 3), (8, 1)).tolist()
        [[8, 8, 8], [2, 2, 2]]
    """
    sides = [np.diff([*range(0, side, extent), side]) for side, extent in zip(shape, block, strict=True)]
    return functools.reduce(np.multiply.outer, sides, np.ones((), np.int64))


def expand_groups(groups: Bools, shape: Shape, block: Shape) -> Bools:
    """Expands one bool per group to one per weight.

    Example:
        >>> expand_groups(np.array([[True], [False]]), (3, 1), (2, 1)).ravel().tolist()
        [True, True, False]
    """
    mask = groups
    for axis, (side, extent) in enumerate(zip(shape, block, strict=True)):
        if extent > 1:
            mask = np.repeat(mask, extent, axis)[(slice(None),) * axis + (slice(side),)]
    return np.ascontiguousarray(mask)


def mark_first(mask: Bools, block: Shape, group: int, count: int) -> None:
    """Marks the first weights of a group, in flat order, in place."""
    corner = np.unravel_index(group, [math.ceil(n / b) for n, b in zip(mask.shape, block, strict=True)])
    members = mask[tuple(slice(c * b, (c + 1) * b) for c, b in zip(corner, block, strict=True))]
    members[np.unravel_index(np.arange(count), members.shape)] = True


def _list_scores(key: int, n: int) -> NDArray[np.uint64]:
    scores = np.empty(n, np.uint64)
    for start, values in generate_scores(key, n):
        scores[start : start + len(values)] = values
    return scores


def check_size(size: int) -> None:
    """Raises InvalidInput for a number of channels that makes no group."""
    if not 2 <= size <= _LARGEST:
        raise InvalidInput(f"A group has 2 to {_LARGEST} channels; got {size}.", name="size", value=size)
