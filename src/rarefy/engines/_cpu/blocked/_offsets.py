"""Offsets in the scratch memory at which each kept weight reads, for forward and backward."""

from __future__ import annotations

import dataclasses
import functools

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


@dataclasses.dataclass(frozen=True)
class GatherOffsets:
    """A tiling and, for each kept weight, the offset in the scratch memory at which it reads.

    Args:
        tiling: Tiling of the source.
        grad_tiling: Tiling of the output gradient, for the weight gradient.
        offsets: [nnz], in floats.
        starts: [output channels, segments + 1]: first weight of each segment of a channel.
        order: [nnz]: positions of the weights in the order of `offsets`; None where they are in that order.
    """

    tiling: Tiling
    grad_tiling: Tiling
    offsets: Ints
    starts: Ints
    order: Ints | None

    @functools.cached_property
    def scratch(self) -> int:
        """Number of floats of scratch memory per tile."""
        tiling = self.tiling
        planes = tiling.segment * tiling.together * tiling.phases_y * tiling.phases_x
        return planes * tiling.scratch_h * tiling.scratch_w * LANES

    @property
    def nbytes(self) -> int:
        """Bytes of the index arrays."""
        return self.offsets.nbytes + self.starts.nbytes + (0 if self.order is None else self.order.nbytes)


def make_forward_offsets(indices: Ints, shape: Shape, chunks: tuple[tuple[int, int], ...]) -> GatherOffsets:
    """Computes the offsets for the forward pass and the weight gradient."""
    tiling = make_forward_tiling(shape, chunks, len(indices))
    out, channel, (ky, kx) = _unravel(indices, shape)
    phase_y, row = (ky * shape.dilation[0]) % shape.stride[0], (ky * shape.dilation[0]) // shape.stride[0]
    phase_x, column = (kx * shape.dilation[1]) % shape.stride[1], (kx * shape.dilation[1]) // shape.stride[1]
    plane = ((channel % (tiling.segment * tiling.together)) * tiling.phases_y + phase_y) * tiling.phases_x + phase_x
    starts = _find_starts(out, channel, shape.weight[0], tiling)
    offsets = _compute_offsets(plane, row, column, tiling)
    return GatherOffsets(tiling, make_gradient_tiling(tiling, chunks), offsets, starts, None)


def make_backward_offsets(indices: Ints, shape: Shape, chunks: tuple[tuple[int, int], ...]) -> GatherOffsets:
    """Computes the offsets for the input gradient, whose outputs are channels and phases of the input."""
    tiling = make_backward_tiling(shape, chunks, len(indices))
    out, channel, (ky, kx) = _unravel(indices, shape)
    (phase_y, row), (phase_x, column) = (
        np.array(compute_backward_taps(shape, axis))[:, k] for axis, k in ((0, ky), (1, kx))
    )
    (sy, sx), row, column = shape.stride, row + tiling.pad_y, column + tiling.pad_x
    target = (channel * sy + phase_y) * sx + phase_x
    order = np.argsort(target * shape.weight[0] + out, kind="stable")
    offsets = _compute_offsets(out % (tiling.segment * tiling.together), row, column, tiling)
    starts = _find_starts(target[order], out[order], shape.channels * sy * sx, tiling)
    return GatherOffsets(tiling, make_gradient_tiling(tiling, chunks), offsets[order], starts, order.astype(np.int32))


def _unravel(indices: Ints, shape: Shape) -> tuple[npt.NDArray[np.int64], ...]:
    outputs, inputs, rows, columns = shape.weight
    rest, kx = np.divmod(indices.astype(np.int64), columns)
    rest, ky = np.divmod(rest, rows)
    out, channel = np.divmod(rest, inputs)
    return out, channel + out // (outputs // shape.groups) * inputs, np.stack([ky, kx])


def _compute_offsets(
    plane: npt.NDArray[np.int64], row: npt.NDArray[np.int64], column: npt.NDArray[np.int64], tiling: Tiling
) -> Ints:
    offsets: Ints = (((plane * tiling.scratch_h + row) * tiling.scratch_w + column) * LANES).astype(np.int32)
    return offsets


def _find_starts(out: npt.NDArray[np.int64], channel: npt.NDArray[np.int64], outputs: int, tiling: Tiling) -> Ints:
    segments = -(-tiling.channels // tiling.segment)
    bounds = np.minimum(np.arange(segments + 1) * tiling.segment, tiling.channels)
    wanted = np.arange(outputs)[:, None] * tiling.channels + bounds
    starts: Ints = np.searchsorted(out * tiling.channels + channel, wanted).astype(np.int32)
    return starts
