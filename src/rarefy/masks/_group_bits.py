"""Masks in groups as one bit per group, and the index of the group that is kept in part."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rarefy.masks._masks import Shape
from rarefy.masks._patterns import GroupPattern, count_members, expand_groups, mark_first_, sum_groups


class GroupBits(NamedTuple):
    """Which groups of a layer are kept.

    Args:
        kept: Bool ``[groups]``, True where at least one weight is kept.
        partial: Index of the only group that is kept in part: its first weights in flat order; None without one.
    """

    kept: Tensor
    partial: int | None


def split_groups(mask: Tensor, pattern: GroupPattern) -> GroupBits | None:
    """Reads which groups a mask keeps; None if it is not of whole groups and at most one that keeps its first weights.

    Example:
        >>> from rarefy.masks import parse_pattern
        >>> split_groups(torch.tensor([[True, True], [True, False], [False, True]]), parse_pattern("out2"))
        GroupBits(kept=tensor([ True,  True, False,  True]), partial=1)
    """
    shape = tuple(mask.shape)
    block = pattern.block(shape)
    counts = sum_groups(mask.long(), block)
    partial = ((counts > 0) & (counts < count_members(shape, block).flatten().to(mask.device))).nonzero().flatten()
    bits = GroupBits(counts > 0, int(partial[0]) if len(partial) else None)
    again = join_groups(bits, shape, pattern, int(mask.count_nonzero()))
    return bits if again is not None and torch.equal(again, mask) else None


def join_groups(bits: GroupBits, shape: Shape, pattern: GroupPattern, kept: int) -> Tensor | None:
    """Makes the mask of a layer that keeps so many weights; None if the groups do not add up to that count.

    Example:
        >>> from rarefy.masks import parse_pattern
        >>> join_groups(GroupBits(torch.tensor([True, False]), None), (2, 2), parse_pattern("out2"), 2).int().tolist()
        [[1, 0], [1, 0]]
    """
    block = pattern.block(shape)
    members = count_members(shape, block).flatten().to(bits.kept.device)
    if bits.partial is not None and not 0 <= bits.partial < len(members):
        return None
    whole = bits.kept.clone()
    if bits.partial is not None:
        whole[bits.partial] = False
    rest = kept - int(members[whole].sum())
    most = 0 if bits.partial is None else int(members[bits.partial])
    if not (rest == 0 if bits.partial is None else 0 < rest < most):
        return None
    mask = expand_groups(whole, shape, block)
    if bits.partial is not None:
        mark_first_(mask, block, bits.partial, rest)
    return mask
