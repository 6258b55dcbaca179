"""Groups of weights that are kept or removed together: blocks of a weight, one score per block."""

from __future__ import annotations

import abc
import dataclasses
import functools
import math
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rarefy.errors import InvalidInput
from rarefy.masks._hash import derive_mask_key, generate_scores
from rarefy.masks._masks import Shape

_LARGEST = 4096


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
        members = count_members(shape, block)
        order = torch.from_numpy(np.argsort(_list_scores(derive_mask_key(seed, name), members.numel())))
        ends = members.flatten()[order].cumsum(0)
        whole = int(torch.searchsorted(ends, kept, right=True))
        chosen = torch.zeros(members.numel(), dtype=torch.bool).index_fill_(0, order[:whole], True)
        mask = expand_groups(chosen, shape, block)
        rest = kept - (int(ends[whole - 1]) if whole else 0)
        if rest:
            mark_first_(mask, block, int(order[whole]), rest)
        return mask


@dataclasses.dataclass(frozen=True)
class ChannelGroups(GroupPattern):
    """Groups of ``size`` consecutive channels along one dimension of the weight, ``axis``.

    Args:
        size: Channels in a group, at least 2.
    """

    size: int
    axis: ClassVar[int]
    form: ClassVar[str]

    def __post_init__(self) -> None:
        if not 2 <= self.size <= _LARGEST:
            raise InvalidInput(f"A group has 2 to {_LARGEST} channels; got {self.size}.", name="size", value=self.size)

    @property
    def name(self) -> str:
        """The canonical name."""
        return self.form.replace("<size>", str(self.size))

    def block(self, shape: Shape) -> Shape:
        """Extent of a group along each dimension."""
        return tuple(self.size if axis == self.axis else 1 for axis in range(len(shape)))


def count_members(shape: Shape, block: Shape) -> Tensor:
    """Counts the weights of every group: int64 ``[ceil(side / extent), ...]``, one number per block of the weight.

    Example:
        >>> count_members((10, 3), (8, 1)).tolist()
        [[8, 8, 8], [2, 2, 2]]
    """
    sides = [np.diff([*range(0, side, extent), side]) for side, extent in zip(shape, block, strict=True)]
    return torch.from_numpy(np.array(functools.reduce(np.multiply.outer, sides, np.ones((), np.int64))))


def sum_groups(values: Tensor, block: Shape) -> Tensor:
    """Sums a tensor of a weight's shape over every group: flat, in the order of the groups.

    Example:
        >>> sum_groups(torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), (2, 1))
        tensor([4., 6., 5., 6.])
    """
    ends = [-side % extent for side, extent in zip(values.shape, block, strict=True)]
    padded = nn.functional.pad(values, [n for end in reversed(ends) for n in (0, end)])
    split = [n for side, extent in zip(padded.shape, block, strict=True) for n in (side // extent, extent)]
    return padded.reshape(split).sum(list(range(1, len(split), 2))).flatten()


def expand_groups(groups: Tensor, shape: Shape, block: Shape) -> Tensor:
    """Expands one value per group (flat) to one per weight.

    Example:
        >>> expand_groups(torch.tensor([True, False]), (3, 1), (2, 1)).flatten().tolist()
        [True, True, False]
    """
    full = groups.reshape([math.ceil(side / extent) for side, extent in zip(shape, block, strict=True)])
    for axis, (side, extent) in enumerate(zip(shape, block, strict=True)):
        if extent > 1:
            full = full.repeat_interleave(extent, axis).narrow(axis, 0, side)
    return full.contiguous()


def mark_first_(mask: Tensor, block: Shape, group: int, count: int) -> None:
    """Marks the first weights of a group, in flat order, in place."""
    corner = np.unravel_index(group, [math.ceil(side / extent) for side, extent in zip(mask.shape, block, strict=True)])
    members = mask[tuple(slice(c * extent, (c + 1) * extent) for c, extent in zip(corner, block, strict=True))]
    members[torch.unravel_index(torch.arange(count, device=mask.device), members.shape)] = True


def _list_scores(key: int, n: int) -> NDArray[np.uint64]:
    scores = np.empty(n, np.uint64)
    for start, values in generate_scores(key, n):
        scores[start : start + len(values)] = values
    return scores
