"""How a layer walks over its input: all integers that a kernel needs, worked out before it starts.

Feature maps are blocks [images / 16][channel][row][column][16 images]. A kernel copies a tile of the input's rows, with
its halo of zeros, into scratch memory that stays in the core's cache; a stride becomes phases (every second row and
column is a plane of its own), so every kept weight reads a contiguous run at a fixed offset in the scratch.
"""

from __future__ import annotations

from typing import NamedTuple

LANES = 16
SCRATCH = 96 * 1024  # floats of a tile's scratch: 384 KiB, well inside a core's second cache
NEAR = 9 * 1024  # floats of the source that the chunks of a segment share in the first cache: 36 of 48 KiB
FEWEST = 16  # kept weights of an output channel that make a segment worth while
_COSTS = {16: 1.0, 8: 1.1, 4: 1.35, 2: 2.2, 1: 4.0}


class Walk(NamedTuple):
    """What a kernel needs to know; see `walk`."""

    channels: int  # of the source
    height: int
    width: int
    stride_y: int
    stride_x: int
    pad_y: int  # zeros before the first row
    pad_x: int
    phases_y: int  # planes a source channel is split into
    phases_x: int
    scratch_h: int
    scratch_w: int
    segment: int  # source channels read at a time: what of them a chunk needs fits the first cache
    together: int  # segments in the scratch at a time
    rows: int  # of the grid of outputs, of all phases
    columns: int
    tile: int  # of these rows
    tiles: int
    outputs: int  # channels of the output
    out_h: int
    out_w: int
    out_sy: int  # output row = grid row * out_sy + phase
    out_sx: int
    chunk: int  # which chunk shape


class Shape(NamedTuple):
    """A convolution's sizes: source [channels, height, width], weight [outputs, inputs a group, rows, columns].

    Args:
        channels: LazyActivation channels.
        size: LazyActivation rows and columns.
        weight: Shape of the weight.
        stride: Rows, columns.
        padding: Zeros before (top, left) and after (bottom, right).
        dilation: Rows, columns.
        groups: Groups of channels.

    Example:
        >>> Shape(3, (32, 32), (8, 3, 3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), 1).out
        (16, 16)
    """

    channels: int
    size: tuple[int, int]
    weight: tuple[int, int, int, int]
    stride: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]
    dilation: tuple[int, int]
    groups: int

    @property
    def span(self) -> tuple[int, int]:
        """Rows and columns from a kernel's first tap to its last."""
        return (self.weight[2] - 1) * self.dilation[0], (self.weight[3] - 1) * self.dilation[1]

    @property
    def reach(self) -> tuple[int, int]:
        """The span in steps of the stride."""
        return self.span[0] // self.stride[0], self.span[1] // self.stride[1]

    @property
    def out(self) -> tuple[int, int]:
        """Rows and columns of the output."""
        (top, left), (bottom, right) = self.padding
        (high, wide), (rows, columns) = self.size, self.span
        high, wide = high + top + bottom - rows - 1, wide + left + right - columns - 1
        return high // self.stride[0] + 1, wide // self.stride[1] + 1


def forward_walk(shape: Shape, chunks: tuple[tuple[int, int], ...], kept: int) -> Walk:
    """The walk of the forward pass and of the weight gradient: over tiles of output rows."""
    high, wide = shape.out
    phases = tuple(min(s, span + 1) for s, span in zip(shape.stride, shape.span, strict=True))
    each = kept / shape.weight[0]
    plan = _tiling(high, wide, shape.reach, (shape.channels, phases[0] * phases[1]), chunks, each)
    source = (shape.channels, *shape.size, *shape.stride, *shape.padding[0], *phases)
    grid = (*plan[2:], high, wide, plan.tile, -(-high // plan.tile))
    return Walk._make((*source, *grid, shape.weight[0], high, wide, 1, 1, plan.chunk))


def backward_walk(shape: Shape, chunks: tuple[tuple[int, int], ...], kept: int) -> Walk:
    """The walk of the input gradient: the gradient of the output is the source, each phase of the input an output."""
    high, wide = (-(-size // s) for size, s in zip(shape.size, shape.stride, strict=True))
    each = kept / (shape.channels * shape.stride[0] * shape.stride[1])
    shifts = [backward_taps(shape, axis)[1] for axis in (0, 1)]
    reach = max(shifts[0]) - min(shifts[0]), max(shifts[1]) - min(shifts[1])
    plan = _tiling(high, wide, reach, (shape.weight[0], 1), chunks, each)
    source = (shape.weight[0], *shape.out, 1, 1, -min(shifts[0]), -min(shifts[1]), 1, 1)
    grid = (*plan[2:], high, wide, plan.tile, -(-high // plan.tile))
    return Walk._make((*source, *grid, shape.channels, *shape.size, *shape.stride, plan.chunk))


def backward_taps(shape: Shape, axis: int) -> tuple[list[int], list[int]]:
    """For each tap of a kernel's axis: the phase of the input it reaches, and how many steps of the grid further on.

    Example:
        >>> backward_taps(Shape(1, (8, 8), (1, 1, 3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), 1), 0)
        ([1, 0, 1], [1, 0, 0])
    """
    stride, before = shape.stride[axis], shape.padding[0][axis]
    taps = [tap * shape.dilation[axis] - before for tap in range(shape.weight[2 + axis])]
    return [tap % stride for tap in taps], [-(tap // stride) for tap in taps]


def slope_walk(walk: Walk, chunks: tuple[tuple[int, int], ...]) -> Walk:
    """How the weight gradient copies a tile of the output's gradient: zeros where a chunk reaches over the border."""
    rows, columns = chunks[walk.chunk]
    size = (walk.outputs, walk.out_h, walk.out_w)
    return walk._replace(
        **dict(zip(("channels", "height", "width"), size, strict=True)),
        **dict.fromkeys(("stride_y", "stride_x", "phases_y", "phases_x"), 1),
        **dict.fromkeys(("pad_y", "pad_x"), 0),
        scratch_h=_up(walk.tile, rows),
        scratch_w=_up(walk.out_w, columns),
    )


class _Tiling(NamedTuple):
    chunk: int
    tile: int
    scratch_h: int
    scratch_w: int
    segment: int
    together: int


def _tiling(
    high: int,
    wide: int,
    reach: tuple[int, int],
    source: tuple[int, int],
    chunks: tuple[tuple[int, int], ...],
    kept: float,
) -> _Tiling:
    """The chunk that wastes least, and the largest tile of rows that fits; else as many channels as fit.

    Args:
        high: Rows of the grid of outputs.
        wide: Columns.
        reach: Rows and columns from the first tap to the last.
        source: Channels, and planes a channel.
        chunks: Shapes of chunks.
        kept: Kept weights an output channel.
    """

    def cost(index: int) -> float:
        rows, columns = chunks[index]
        return _up(high, rows) * _up(wide, columns) * _COSTS[rows * columns]

    chunk = min(range(len(chunks)), key=cost)
    rows, columns = chunks[chunk]
    channels, planes = source
    scratch_w = _up(wide, columns) + reach[1]
    room = SCRATCH // (channels * planes * scratch_w * LANES) - reach[0]
    tile = min(max(rows, room // rows * rows, min(_up(high, rows), 4)), _up(high, rows))
    tile = _up(-(-high // -(-high // tile)), rows)  # tiles of equal height
    plane = planes * (tile + reach[0]) * scratch_w * LANES
    near = planes * (rows + reach[0]) * (columns + reach[1]) * LANES
    groups = max(1, -(-channels * plane // (2 * SCRATCH)))
    # Each segment costs a load and a store of the sums: only where it has some weights of a channel and helps at all.
    wanted, worth = channels * near // NEAR, int(kept / FEWEST)
    segments = max(groups, min(wanted, worth) if wanted <= 2 * worth else 1)
    together = -(-segments // groups)
    return _Tiling(chunk, tile, tile + reach[0], scratch_w, max(1, -(-channels // (groups * together))), together)


def _up(number: int, step: int) -> int:
    return -(-number // step) * step
