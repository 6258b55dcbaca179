"""Groups of consecutive outputs, or of inputs, that keep the same positions, and the offsets at which they read.

A group of T outputs is stored as one output: its positions are those that any of its outputs keeps, and the values of
the others are zeros. So a last group with fewer outputs, and single weights of a group that are not kept, need no
kernels of their own.

Groups of inputs are groups of outputs of the transposed layer: the one whose input gradient is this layer's output.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rarefy.engines._cpu.blocked._offsets import Ints, Kept, TileOffsets, choose_dtype, locate_weights
from rarefy.engines._cpu.blocked._tiling import (
    Shape,
    Tiling,
    covers_source,
    make_forward_tiling,
    make_gradient_tiling,
    make_scatter_tiling,
    transpose_shape,
)
from rarefy.engines._cpu.kernels import LANES

Chunks = tuple[tuple[int, int], ...]

_MOST_KEPT = 0.9  # share of a layer's weights above which any outputs nearly share what they keep, and gain nothing
_MOST_ZEROS = 0.02  # share of zeros among the stored values of whole groups
_FIRST = 64  # outputs that show whether a layer has groups of inputs
_NEAR = 8 * 1024  # floats of the output gradient of a group that stay in the first cache: 32 of 48 KiB


class Groups(NamedTuple):
    """Positions that consecutive outputs share, or in the transposed layer consecutive inputs.

    Args:
        together: Outputs (inputs) of a group, T.
        kept: First position of each group, [groups + 1], and the positions, ascending within a group.
        slots: For groups of inputs, where each kept weight is in [positions, T]; for groups of outputs None.
    """

    together: int
    kept: Kept
    slots: Ints | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return sum(array.nbytes for array in (*self.kept, self.slots) if array is not None)

    @property
    def members(self) -> tuple[int, ...]:
        """The numbers 0, ..., T - 1: their count chooses the machine code."""
        return tuple(range(self.together))

    @property
    def value_count(self) -> int:
        """Number of stored values, zeros included."""
        return self.together * len(self.kept.positions)


def find_groups(mask: Tensor, sizes: Collection[int]) -> Groups | None:
    """Finds the largest T, if any, for which consecutive outputs, or else inputs, keep the same weights, but for a few.

    A layer that keeps nearly every weight has none: its groups are chance, and their kernels take seconds to compile.

    Args:
        mask: Bool tensor of the weight's shape.
        sizes: The T of the kernels.

    Example:
        >>> mask = torch.rand(6, 4, generator=torch.Generator().manual_seed(0)) < 0.5
        >>> groups = find_groups(mask.repeat_interleave(4, 0), (8, 4, 2))
        >>> groups.together, groups.slots is None
        (4, True)
        >>> groups = find_groups(mask.repeat_interleave(2, 1), (8, 4, 2))
        >>> groups.together, groups.slots is None
        (2, False)
        >>> find_groups(mask, (8, 4, 2)) is None
        True
    """
    if int(mask.count_nonzero()) > _MOST_KEPT * mask.numel():
        return None
    by_output = mask.flatten(1)
    together = _find_size(by_output, sizes)
    if together > 1:
        return _make_groups(together, _find_shared(by_output, together))
    if _find_size(_transpose(mask[:_FIRST]), sizes) == 1:
        return None
    by_input = _transpose(mask)
    together = _find_size(by_input, sizes)
    if together == 1:
        return None
    groups = _make_groups(together, _find_shared(by_input, together))
    return groups._replace(slots=_find_slots(mask, groups))


def _transpose(mask: Tensor) -> Tensor:
    """Returns the mask of the transposed layer, [inputs, weights of an input]."""
    return mask.transpose(0, 1).flip(tuple(range(2, mask.dim()))).flatten(1)


def _find_size(mask: Tensor, sizes: Collection[int]) -> int:
    """Finds the largest T for which consecutive rows agree; 1 if none do."""
    kept, largest = int(mask.count_nonzero()), 1
    for together in sorted(size for size in sizes if size <= len(mask)):
        shared = _find_shared(mask, together)
        lacking = -len(mask) % together * int(shared[-1].count_nonzero())
        if together * int(shared.count_nonzero()) - lacking > kept + max(together, _MOST_ZEROS * kept):
            break  # larger groups store more
        largest = together
    return largest


def _find_slots(mask: Tensor, groups: Groups) -> Ints:
    """Finds the place in [positions, T] of each kept weight of a layer with groups of inputs."""
    outputs, inputs, taps = len(mask), mask.shape[1], mask[0, 0].numel()
    output, channel, tap = np.unravel_index(mask.flatten().nonzero()[:, 0].numpy(), (outputs, inputs, taps))
    (starts, positions), width = groups.kept, outputs * taps
    places = np.repeat(np.arange(len(starts) - 1), np.diff(starts)) * width + positions  # ascending
    wanted = channel // groups.together * width + output * taps + taps - 1 - tap
    slots = np.searchsorted(places, wanted) * groups.together + channel % groups.together
    return slots.astype(np.int32)


def _find_shared(mask: Tensor, together: int) -> Tensor:
    """Returns which weights any output of each group keeps, [groups, weights of an output]."""
    lacking = -len(mask) % together
    padded = torch.cat([mask, mask.new_zeros(lacking, mask.shape[1])]) if lacking else mask
    return padded.view(-1, together, mask.shape[1]).any(1)


def _make_groups(together: int, shared: Tensor) -> Groups:
    counts = shared.count_nonzero(1).numpy()
    positions = shared.nonzero()[:, 1].numpy().astype(choose_dtype(shared.shape[1]))
    return Groups(together, Kept(np.concatenate([[0], counts.cumsum()]).astype(np.int32), positions))


class GroupLayout(NamedTuple):
    """What the kernels for groups need beyond a tiling.

    Args:
        members: The numbers 0, ..., T - 1: their count chooses the machine code.
        chunk: Rows and columns of a chunk.
        near: Rows of a group's output gradient that the weight gradient reads at a time.
        grad_tiling: Tiling of the output gradient.
        is_covered: Whether the tiles of the source reach each of its pixels.
        chained: Tiles of a block that follow each other in the input gradient: all where a tile adds to the next.
    """

    members: tuple[int, ...]
    chunk: tuple[int, int]
    near: int
    grad_tiling: Tiling
    is_covered: bool
    chained: int


@dataclasses.dataclass(frozen=True)
class GroupOffsets(TileOffsets):
    """Offsets of the positions that groups share.

    Args:
        groups: The groups.
        chunk: Rows and columns of a chunk.
    """

    groups: Groups
    chunk: tuple[int, int]

    @property
    def layout(self) -> GroupLayout:
        """What the kernels need beyond the tiling."""
        together, tiling = self.groups.together, self.tiling
        is_covered, reaches = covers_source(tiling), tiling.scratch_h > tiling.tile
        return GroupLayout(
            members=self.groups.members,
            chunk=self.chunk,
            near=max(1, _NEAR // (together * tiling.columns * LANES)),
            grad_tiling=self.grad_tiling,
            is_covered=is_covered,
            chained=tiling.tiles if reaches or not is_covered else 1,
        )


def make_group_offsets(groups: Groups, layer: Shape, chunks: Chunks, *, backward: bool) -> GroupOffsets | None:
    """Computes the offsets of groups for the forward pass and the weight gradient, or for the input gradient.

    Of groups of inputs they are those of the transposed layer. None if a layer of these sizes cannot be computed so.
    """
    outputs = layer.weight[0] // layer.groups
    shape = layer if groups.slots is None else transpose_shape(layer)
    if shape is None or (layer.groups > 1 and outputs % groups.together):
        return None
    tiling = make_scatter_tiling(shape, chunks) if backward else make_forward_tiling(shape, chunks, 0)
    as_outputs = shape._replace(weight=(len(groups.kept.rows) - 1, *shape.weight[1:]))
    tiling, offsets, starts = locate_weights(groups.kept, as_outputs, tiling)
    grad_tiling = make_gradient_tiling(tiling, chunks)
    is_shared = offsets is groups.kept.positions
    return GroupOffsets(tiling, grad_tiling, offsets, starts, is_shared, groups, chunks[tiling.chunk])
