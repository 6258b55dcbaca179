"""The tiling of a convolution: all integers that a kernel needs, computed before it starts.

Feature maps are blocks [images / 16][channel][row][column][16 images]. A kernel copies a tile of the input's rows, with
its halo of zeros, into scratch memory that stays in the core's cache; a stride becomes phases (every second row and
column is a plane of its own), so each kept weight reads a contiguous run at a fixed offset in the scratch.
"""

from __future__ import annotations

from typing import NamedTuple

from rarefy.engines._cpu.kernels import LANES

SCRATCH = 112 * 1024  # floats of a tile's scratch: 448 KiB; two of them fit the L2 cache of a core
NEAR = 9 * 1024  # floats of the source that the chunks of a segment share in the L1 cache: 36 of 48 KiB
FEWEST = 16  # kept weights of an output channel that justify a segment
_COSTS = {16: 1.0, 8: 1.1, 4: 1.35, 2: 2.2, 1: 4.0}


class Tiling(NamedTuple):
    """How a kernel divides its source and its output; see `make_forward_tiling`."""

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
    rows: int  # of the grid of outputs, for all phases
    columns: int
    tile: int  # of these rows
    tiles: int
    outputs: int  # channels of the output
    out_h: int
    out_w: int
    out_sy: int  # output row = grid row * out_sy + phase
    out_sx: int
    chunk: int  # which chunk shape
    tile_w: int  # columns of an output tile in scratch memory: whole chunks
    tile_plane: int  # floats of a channel of such a tile
    unit: int  # floats per step of an offset
    channel_unit: int  # floats per channel before the scratch's first, where offsets count from channel 0


class Shape(NamedTuple):
    """A convolution's sizes: source [channels, height, width], weight [outputs, inputs per group, rows, columns].

    Args:
        channels: Source channels.
        size: Source rows and columns.
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


def transpose_shape(shape: Shape) -> Shape | None:
    """Returns the sizes of the convolution whose input gradient is this one; None if its stride or groups forbid that.

    Its weight is this one with inputs and outputs exchanged, and rows and columns turned round.

    Example:
        >>> shape = Shape(3, (9, 9), (8, 3, 5, 5), (1, 1), ((0, 0), (0, 0)), (1, 1), 1)
        >>> transposed = transpose_shape(shape)
        >>> transposed.size, transposed.weight, transposed.padding, transposed.out
        ((5, 5), (3, 8, 5, 5), ((4, 4), (4, 4)), (9, 9))
        >>> transpose_shape(shape._replace(stride=(2, 2))) is None
        True
    """
    (top, left), (bottom, right) = shape.padding
    (rows, columns), (outputs, inputs, *kernel) = shape.span, shape.weight
    padding = (rows - top, columns - left), (rows - bottom, columns - right)
    if shape.stride != (1, 1) or shape.groups != 1 or min(map(min, padding)) < 0:
        return None
    weight = (inputs, outputs, kernel[0], kernel[1])
    return Shape(outputs, shape.out, weight, shape.stride, padding, shape.dilation, 1)


def make_forward_tiling(shape: Shape, chunks: tuple[tuple[int, int], ...], kept: int) -> Tiling:
    """Makes the tiling of the forward pass and of the weight gradient, by tiles of output rows."""
    high, wide = shape.out
    phases = tuple(min(s, span + 1) for s, span in zip(shape.stride, shape.span, strict=True))
    each = kept / shape.weight[0]
    sizes = _choose_tile_sizes(high, wide, shape.reach, (shape.channels, phases[0] * phases[1]), chunks, each)
    source = (shape.channels, *shape.size, *shape.stride, *shape.padding[0], *phases)
    grid = (*sizes[2:6], high, wide, sizes.tile, -(-high // sizes.tile))
    return Tiling._make((*source, *grid, shape.weight[0], high, wide, 1, 1, *_plan_output(sizes, wide, 1, 1), LANES, 0))


def make_backward_tiling(shape: Shape, chunks: tuple[tuple[int, int], ...], kept: int) -> Tiling:
    """Makes the tiling of the input gradient: source is the output gradient, outputs are phases of the input."""
    high, wide = (-(-size // s) for size, s in zip(shape.size, shape.stride, strict=True))
    each = kept / (shape.channels * shape.stride[0] * shape.stride[1])
    shifts = [compute_backward_taps(shape, axis)[1] for axis in (0, 1)]
    reach = max(shifts[0]) - min(shifts[0]), max(shifts[1]) - min(shifts[1])
    sizes = _choose_tile_sizes(high, wide, reach, (shape.weight[0], 1), chunks, each)
    source = (shape.weight[0], *shape.out, 1, 1, -min(shifts[0]), -min(shifts[1]), 1, 1)
    grid = (*sizes[2:6], high, wide, sizes.tile, -(-high // sizes.tile))
    output = (*shape.size, *shape.stride, *_plan_output(sizes, wide, *shape.stride))
    return Tiling._make((*source, *grid, shape.channels, *output, LANES, 0))


def make_scatter_tiling(shape: Shape, chunks: tuple[tuple[int, int], ...]) -> Tiling:
    """Makes the tiling of the input gradient that is added up in scratch memory: that of the forward pass, smaller.

    The scratch has some channels of the input, as few segments as possible, and tiles of as many rows as then fit.
    """
    tiling = make_forward_tiling(shape, chunks, 0)
    rows, (reach, _) = chunks[tiling.chunk][0], shape.reach
    row = tiling.phases_y * tiling.phases_x * tiling.scratch_w * LANES
    least = min(_round_up(2, rows), _round_up(tiling.rows, rows))
    segment = max(1, min(tiling.channels, SCRATCH // (row * (least + reach))))
    segment = -(-tiling.channels // -(-tiling.channels // segment))  # segments of equal size
    tile = max(least, min((SCRATCH // (row * segment) - reach) // rows * rows, _round_up(tiling.rows, rows)))
    tile = _round_up(-(-tiling.rows // -(-tiling.rows // tile)), rows)
    tiles = -(-tiling.rows // tile)
    return tiling._replace(segment=segment, together=1, tile=tile, tiles=tiles, scratch_h=tile + reach)


def covers_source(tiling: Tiling) -> bool:
    """Whether the tiles reach every pixel of the source; a stride can leave some out."""
    last = (tiling.tiles - 1) * tiling.tile + tiling.scratch_h
    return (
        (tiling.phases_y, tiling.phases_x) == (tiling.stride_y, tiling.stride_x)
        and last * tiling.stride_y - tiling.pad_y >= tiling.height
        and tiling.scratch_w * tiling.stride_x - tiling.pad_x >= tiling.width
    )


def compute_backward_taps(shape: Shape, axis: int) -> tuple[list[int], list[int]]:
    """Returns, for each tap of a kernel's axis, the phase of the input that it reaches and the shift in grid steps.

    Example:
        >>> compute_backward_taps(Shape(1, (8, 8), (1, 1, 3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), 1), 0)
        ([1, 0, 1], [1, 0, 0])
    """
    stride, before = shape.stride[axis], shape.padding[0][axis]
    taps = [tap * shape.dilation[axis] - before for tap in range(shape.weight[2 + axis])]
    return [tap % stride for tap in taps], [-(tap // stride) for tap in taps]


def make_gradient_tiling(tiling: Tiling, chunks: tuple[tuple[int, int], ...]) -> Tiling:
    """Makes the tiling of the output gradient for the weight gradient: zeros where a chunk is past the border."""
    rows, columns = chunks[tiling.chunk]
    size = (tiling.outputs, tiling.out_h, tiling.out_w)
    return tiling._replace(
        **dict(zip(("channels", "height", "width"), size, strict=True)),
        **dict.fromkeys(("stride_y", "stride_x", "phases_y", "phases_x"), 1),
        **dict.fromkeys(("pad_y", "pad_x"), 0),
        scratch_h=_round_up(tiling.tile, rows),
        scratch_w=_round_up(tiling.out_w, columns),
    )


class _TileSizes(NamedTuple):
    chunk: int
    tile: int
    scratch_h: int
    scratch_w: int
    segment: int
    together: int
    columns: int


def _choose_tile_sizes(
    high: int,
    wide: int,
    reach: tuple[int, int],
    source: tuple[int, int],
    chunks: tuple[tuple[int, int], ...],
    kept: float,
) -> _TileSizes:
    """Chooses the chunk that wastes least, and the largest tile of rows that fits; else as many channels as fit.

    Args:
        high: Rows of the grid of outputs.
        wide: Columns.
        reach: Rows and columns from the first tap to the last.
        source: Channels, and planes per channel.
        chunks: Shapes of chunks.
        kept: Kept weights per output channel.
    """

    def cost(index: int) -> float:
        rows, columns = chunks[index]
        return _round_up(high, rows) * _round_up(wide, columns) * _COSTS[rows * columns]

    chunk = min(range(len(chunks)), key=cost)
    rows, columns = chunks[chunk]
    channels, planes = source
    scratch_w = _round_up(wide, columns) + reach[1]
    rows_that_fit = SCRATCH // (channels * planes * scratch_w * LANES) - reach[0]
    tile = min(max(rows, rows_that_fit // rows * rows, min(_round_up(high, rows), 4)), _round_up(high, rows))
    tile = _round_up(-(-high // -(-high // tile)), rows)  # tiles of equal height
    plane = planes * (tile + reach[0]) * scratch_w * LANES
    near = planes * (rows + reach[0]) * (columns + reach[1]) * LANES
    groups = max(1, -(-channels * plane // (2 * SCRATCH)))
    # Each segment costs a load and a store of the sums: only where it has several weights of each channel.
    wanted, most = channels * near // NEAR, int(kept / FEWEST)
    segments = max(groups, min(wanted, most) if wanted <= 2 * most else 1)
    together = -(-segments // groups)
    segment = max(1, -(-channels // (groups * together)))
    return _TileSizes(chunk, tile, tile + reach[0], scratch_w, segment, together, columns)


def _plan_output(sizes: _TileSizes, wide: int, stride_y: int, stride_x: int) -> tuple[int, int, int]:
    """Returns the chunk, and columns and floats of a channel of the output tile.

    One more vector between two channels: at distances of a power of two, all would be in the same sets of the cache.
    """
    columns = _round_up(wide, sizes.columns) * stride_x
    return sizes.chunk, columns, (sizes.tile * stride_y * columns + 1) * LANES


def _round_up(number: int, step: int) -> int:
    return -(-number // step) * step
