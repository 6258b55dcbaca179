"""Where in the scratch each kept weight reads, forwards and backwards."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import numpy.typing as npt

from rarefy.engines._cpu.blocked._geometry import (
    LANES,
    Shape,
    Walk,
    backward_taps,
    backward_walk,
    forward_walk,
    slope_walk,
)

Ints = npt.NDArray[np.int32]


@dataclasses.dataclass(frozen=True)
class Reads:
    """A walk and, for each kept weight, its offset in the scratch.

    Args:
        walk: The walk.
        slopes: How the weight gradient walks over the output's gradient.
        offsets: [nnz], in floats.
        starts: [output channels, segments + 1]: where a channel's weights of a segment start.
        order: [nnz]: positions of the weights in the order of `offsets`; None where it is their own.
    """

    walk: Walk
    slopes: Walk
    offsets: Ints
    starts: Ints
    order: Ints | None

    @functools.cached_property
    def scratch(self) -> int:
        """Floats of scratch memory that a tile takes."""
        walk = self.walk
        planes = walk.segment * walk.together * walk.phases_y * walk.phases_x
        return planes * walk.scratch_h * walk.scratch_w * LANES

    @property
    def nbytes(self) -> int:
        """Bytes of the index arrays."""
        return self.offsets.nbytes + self.starts.nbytes + (0 if self.order is None else self.order.nbytes)


def forward_reads(indices: Ints, shape: Shape, chunks: tuple[tuple[int, int], ...]) -> Reads:
    """For the forward pass and the weight gradient."""
    walk = forward_walk(shape, chunks, len(indices))
    out, channel, (ky, kx) = _unravel(indices, shape)
    phase_y, row = (ky * shape.dilation[0]) % shape.stride[0], (ky * shape.dilation[0]) // shape.stride[0]
    phase_x, column = (kx * shape.dilation[1]) % shape.stride[1], (kx * shape.dilation[1]) // shape.stride[1]
    plane = ((channel % (walk.segment * walk.together)) * walk.phases_y + phase_y) * walk.phases_x + phase_x
    starts = _starts(out, channel, shape.weight[0], walk)
    return Reads(walk, slope_walk(walk, chunks), _offset(plane, row, column, walk), starts, None)


def backward_reads(indices: Ints, shape: Shape, chunks: tuple[tuple[int, int], ...]) -> Reads:
    """For the input gradient: outputs are channels and phases of the input."""
    walk = backward_walk(shape, chunks, len(indices))
    out, channel, (ky, kx) = _unravel(indices, shape)
    (phase_y, row), (phase_x, column) = (np.array(backward_taps(shape, axis))[:, k] for axis, k in ((0, ky), (1, kx)))
    (sy, sx), row, column = shape.stride, row + walk.pad_y, column + walk.pad_x
    target = (channel * sy + phase_y) * sx + phase_x
    order = np.argsort(target * shape.weight[0] + out, kind="stable")
    offsets = _offset(out % (walk.segment * walk.together), row, column, walk)
    starts = _starts(target[order], out[order], shape.channels * sy * sx, walk)
    return Reads(walk, slope_walk(walk, chunks), offsets[order], starts, order.astype(np.int32))


def _unravel(indices: Ints, shape: Shape) -> tuple[npt.NDArray[np.int64], ...]:
    outputs, inputs, rows, columns = shape.weight
    rest, kx = np.divmod(indices.astype(np.int64), columns)
    rest, ky = np.divmod(rest, rows)
    out, channel = np.divmod(rest, inputs)
    return out, channel + out // (outputs // shape.groups) * inputs, np.stack([ky, kx])


def _offset(
    plane: npt.NDArray[np.int64], row: npt.NDArray[np.int64], column: npt.NDArray[np.int64], walk: Walk
) -> Ints:
    offsets: Ints = (((plane * walk.scratch_h + row) * walk.scratch_w + column) * LANES).astype(np.int32)
    return offsets


def _starts(out: npt.NDArray[np.int64], channel: npt.NDArray[np.int64], outputs: int, walk: Walk) -> Ints:
    segments = -(-walk.channels // walk.segment)
    bounds = np.minimum(np.arange(segments + 1) * walk.segment, walk.channels)
    wanted = np.arange(outputs)[:, None] * walk.channels + bounds
    starts: Ints = np.searchsorted(out * walk.channels + channel, wanted).astype(np.int32)
    return starts
