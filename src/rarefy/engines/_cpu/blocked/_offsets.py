"""Offsets in the scratch memory at which kept weights read.

A layer stores its positions once: 16 bits per kept weight, in the order of outputs. The forward pass and the weight
gradient read at offsets of 16 bits more; a 1x1 convolution and a linear layer read at the positions themselves. The
input gradient reads the weights in the order of inputs: they are transposed for each pass (`kernels._transposed`).
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rarefy.engines._cpu.blocked._tiling import (
    Shape,
    Tiling,
    compute_backward_taps,
    make_backward_tiling,
    make_forward_tiling,
    make_gradient_tiling,
)
from rarefy.engines._cpu.kernels import LANES

Ints = npt.NDArray[np.int32]
Positions = npt.NDArray[Any]
"""uint16, or int32 where a number can be larger."""


class Kept(NamedTuple):
    """Which weights a layer keeps.

    Args:
        rows: [outputs + 1]: first kept weight of each output.
        positions: [nnz]: ascending flat positions within an output's weights [inputs, rows, columns].
    """

    rows: Ints
    positions: Positions


@dataclasses.dataclass(frozen=True)
class TileOffsets:
    """A tiling and, for each position that a layer keeps, the offset in the scratch memory at which it reads.

    Args:
        tiling: Tiling of the source.
        grad_tiling: Tiling of the output gradient, for the weight gradient.
        offsets: [positions], in units of `tiling.unit` floats.
        starts: [output channels or groups of them, segments + 1]: first position of each segment.
        is_shared: Whether the offsets are the layer's positions and take no memory of their own.
    """

    tiling: Tiling
    grad_tiling: Tiling
    offsets: Positions
    starts: Ints
    is_shared: bool

    @property
    def nbytes(self) -> int:
        """Bytes of the index arrays."""
        return self.starts.nbytes + (0 if self.is_shared else self.offsets.nbytes)


@dataclasses.dataclass(frozen=True)
class ForwardOffsets(TileOffsets):
    """Offsets of kept weights, one position each."""


@dataclasses.dataclass(frozen=True)
class BackwardOffsets:
    """A tiling of the output gradient, and where in the order of inputs each kept weight is.

    Args:
        tiling: Tiling of the source, the output gradient.
        starts: [targets, segments + 1]: first weight of each segment of a target, a channel and phase of the input.
        tap_targets: For each tap of the kernel the phase of the input that it reaches.
        tap_offsets: For each tap the offset within a plane of the scratch, in vectors.
        sizes: Inputs and outputs of a group, phases, planes of the scratch, vectors of a plane.
    """

    tiling: Tiling
    starts: Ints
    tap_targets: Ints
    tap_offsets: Ints
    sizes: tuple[int, int, int, int, int]

    @property
    def nbytes(self) -> int:
        """Bytes of the index arrays."""
        return self.starts.nbytes + self.tap_targets.nbytes + self.tap_offsets.nbytes

    @property
    def dtype(self) -> type[np.integer[Any]]:
        """Type of the offsets."""
        return choose_dtype(self.sizes[3] * self.sizes[4])


def choose_dtype(limit: int) -> type[np.integer[Any]]:
    """Returns the type for whole numbers from 0 up to, not including, a limit."""
    return np.uint16 if limit <= 2**16 else np.int32


def make_forward_offsets(kept: Kept, shape: Shape, chunks: tuple[tuple[int, int], ...]) -> ForwardOffsets:
    """Computes the offsets for the forward pass and the weight gradient."""
    tiling, offsets, starts = locate_weights(kept, shape, make_forward_tiling(shape, chunks, len(kept.positions)))
    return ForwardOffsets(tiling, make_gradient_tiling(tiling, chunks), offsets, starts, offsets is kept.positions)


def locate_weights(kept: Kept, shape: Shape, tiling: Tiling) -> tuple[Tiling, Positions, Ints]:
    """Returns the offset in a tile of the source of each kept weight, with the tiling, and starts of the segments.

    In a 1x1 convolution the offsets are the positions themselves, in units that the tiling returned has.
    """
    outputs, channels, (ky, kx) = _unravel(kept, shape)
    starts = _find_starts(outputs, channels // tiling.segment, shape.weight[0], tiling)
    if shape.weight[2:] == (1, 1) and shape.groups == 1:
        plane = _count_vectors(tiling) * LANES
        return tiling._replace(unit=plane, channel_unit=plane), kept.positions, starts
    phase_y, row = (ky * shape.dilation[0]) % shape.stride[0], (ky * shape.dilation[0]) // shape.stride[0]
    phase_x, column = (kx * shape.dilation[1]) % shape.stride[1], (kx * shape.dilation[1]) // shape.stride[1]
    phases = tiling.phases_y * tiling.phases_x
    plane = (channels % (tiling.segment * tiling.together)) * phases + phase_y * tiling.phases_x + phase_x
    limit = min(tiling.segment * tiling.together, tiling.channels) * phases * _count_vectors(tiling)
    offsets = ((plane * tiling.scratch_h + row) * tiling.scratch_w + column).astype(choose_dtype(limit))
    return tiling, offsets, starts


def make_backward_offsets(kept: Kept, shape: Shape, chunks: tuple[tuple[int, int], ...]) -> BackwardOffsets:
    """Computes what the input gradient needs, whose outputs are channels and phases of the input."""
    tiling = make_backward_tiling(shape, chunks, len(kept.positions))
    (phase_y, row), (phase_x, column) = (np.array(compute_backward_taps(shape, axis)) for axis in (0, 1))
    (sy, sx), row, column = shape.stride, row + tiling.pad_y, column + tiling.pad_x
    tap_targets = (phase_y[:, None] * sx + phase_x).reshape(-1).astype(np.int32)
    tap_offsets = (row[:, None] * tiling.scratch_w + column).reshape(-1).astype(np.int32)
    outputs, channels, (ky, kx) = _unravel(kept, shape)
    targets = channels * (sy * sx) + tap_targets[ky * shape.weight[3] + kx]
    starts = _find_starts(targets, outputs // tiling.segment, shape.channels * sy * sx, tiling)
    planes = min(tiling.segment * tiling.together, tiling.channels)
    sizes = (shape.weight[1], shape.weight[0] // shape.groups, sy * sx, planes, _count_vectors(tiling))
    return BackwardOffsets(tiling, starts, tap_targets, tap_offsets, sizes)


@functools.lru_cache(maxsize=1024)
def count_scratch(tiling: Tiling) -> int:
    """Returns the number of floats of scratch memory per tile."""
    planes = tiling.segment * tiling.together * tiling.phases_y * tiling.phases_x
    return planes * _count_vectors(tiling) * LANES


def _count_vectors(tiling: Tiling) -> int:
    return tiling.scratch_h * tiling.scratch_w


def _unravel(kept: Kept, shape: Shape) -> tuple[npt.NDArray[np.int64], ...]:
    """Returns output, channel of the source, and row and column of the kernel of each kept weight."""
    outputs, inputs, rows, columns = shape.weight
    rest, kx = np.divmod(kept.positions.astype(np.int64), columns)
    channel, ky = np.divmod(rest, rows)
    out = np.repeat(np.arange(outputs), np.diff(kept.rows))
    return out, channel + out // (outputs // shape.groups) * inputs, np.stack([ky, kx])


def _find_starts(
    targets: npt.NDArray[np.int64], segments_of: npt.NDArray[np.int64], count: int, tiling: Tiling
) -> Ints:
    """Finds where the weights of each target and segment start, in the order of targets, then segments."""
    segments = -(-tiling.channels // tiling.segment)
    ends = np.bincount(targets * segments + segments_of, minlength=count * segments).cumsum().reshape(count, segments)
    starts = np.empty((count, segments + 1), np.int32)
    starts[:, 1:] = ends
    starts[:, 0] = np.concatenate([[0], ends[:-1, -1]])
    return starts
