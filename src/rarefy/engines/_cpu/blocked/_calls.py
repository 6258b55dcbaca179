"""Calls kernels on whole blocked tensors, split over threads."""

from __future__ import annotations

from typing import Any

import numpy as np

from rarefy.engines._cpu.blocked._memory import Array, BlockedTensor, get_constant, get_scratch
from rarefy.engines._cpu.blocked._offsets import (
    BackwardOffsets,
    ForwardOffsets,
    Kept,
    Positions,
    count_scratch,
)
from rarefy.engines._cpu.blocked._operands import (
    BackwardEpilogue,
    Dots,
    LazyActivation,
    LazyGradient,
    Sums,
    make_no_dots,
    make_no_epilogue,
)
from rarefy.engines._cpu.blocked._tiling import Tiling
from rarefy.engines._cpu.kernels import LANES, _convolutions, _elementwise, _transposed
from rarefy.engines._cpu.kernels._threads import count_threads, run_parallel
from rarefy.engines._cpu.kernels._tiles import NO_RELU, STREAMED, Rectifier

_LARGE_TILE = 2**18  # floats: a megabyte
_FEW_WEIGHTS = 8192  # whose transposition takes less time than starting threads


def _count_parts(gather: ForwardOffsets | BackwardOffsets, blocks: int) -> int:
    """Returns how many threads have work: items where there are enough, else channels; see `_split_work`."""
    tiling, parts = gather.tiling, count_threads()
    channels = gather.starts.shape[0] // (tiling.out_sy * tiling.out_sx)
    return parts if blocks * tiling.tiles >= parts else min(parts, channels)


def get_tile_scratch(tiling: Tiling, parts: int) -> Array:
    """Returns the scratch memory for a tile of the source, [parts, floats]."""
    return get_scratch(parts, count_scratch(tiling))


def _get_buffers(tiling: Tiling, out: BlockedTensor, parts: int, dots: Tiling | None = None) -> tuple[Any, ...]:
    """Returns the memory of the output, scratch for tiles of the source, and for those of `dots`, then of the output.

    Last, whether tiles of the output are computed in place: whole maps that the caches keep, or that are too large.
    """
    size = out.channels * tiling.tile_plane
    is_whole = tiling.tile * tiling.out_sy == tiling.out_h and tiling.tile_w == tiling.out_w
    in_place = is_whole and (out.data.size < STREAMED or size > _LARGE_TILE)
    size = max(0 if in_place else size, 0 if dots is None else count_scratch(dots))
    return out.data, get_tile_scratch(tiling, parts), get_scratch(parts, size, "output"), in_place


def convolve(
    gather: ForwardOffsets, values: Array, bias: Array, source: LazyActivation, out: BlockedTensor, *, moments: bool
) -> Sums:
    """Computes out = the convolution of the source; returns its moments, [threads, channels, 3], or no channels."""
    maps = source.maps
    parts = _count_parts(gather, maps.blocks)
    sums = np.zeros((parts, out.channels if moments else 0, 3))
    run_parallel(_convolutions.convolve, parts, (
        gather.tiling, maps.blocks, maps.lanes,
        source.as_source(), (values, gather.offsets, gather.starts, bias), _get_buffers(gather.tiling, out, parts),
        sums, make_no_epilogue(parts), make_no_dots(parts, gather.offsets.dtype.char),
    ))  # fmt: skip
    return sums


def transpose(kept: Kept, gather: BackwardOffsets, values: Array) -> tuple[Array, Positions]:
    """Returns kept weights in the order of inputs, and where they read, in memory that the next call overwrites."""
    (count,) = values.shape
    parts = count_threads() if count > _FEW_WEIGHTS else 1
    out = get_scratch(1, count, "values")[0], get_scratch(1, count, "offsets")[0].view(gather.dtype)
    run_parallel(_transposed.transpose, parts, (
        kept, values, gather.sizes, (gather.tap_targets, gather.tap_offsets), gather.starts[:, 0].copy(), *out,
    ))  # fmt: skip
    return out


def convolve_backward(
    gather: BackwardOffsets,
    weights: tuple[Array, Positions],
    gradient: LazyGradient,
    out: BlockedTensor,
    epilogue: BackwardEpilogue,
    dots: Dots | None = None,
) -> Sums:
    """Computes out = the input gradient, then the epilogue; returns sums for batch norm, [threads, channels, 3].

    With `dots` (see `fuses_backward`) it adds up the weight gradient in the same pass.
    """
    maps, parts = gradient.maps, _count_parts(gather, gradient.maps.blocks)
    sums = np.zeros((parts, out.channels, 3))
    run_parallel(_convolutions.convolve, parts, (
        gather.tiling, maps.blocks, maps.lanes,
        gradient.as_source(), (*weights, gather.starts, get_constant(out.channels, 0)),
        _get_buffers(gather.tiling, out, parts, dots and dots.tiling),
        np.empty((parts, 0, 3)), BackwardEpilogue(*epilogue[:-1], sums),
        dots or make_no_dots(parts, weights[1].dtype.char),
    ))  # fmt: skip
    return sums


def fuses_backward(forward: ForwardOffsets, backward: BackwardOffsets, blocks: int) -> bool:
    """Whether one kernel can compute both gradients: from the same tiles of the output gradient."""
    source, gradient = forward.tiling, backward.tiling
    return (
        source.tile == gradient.tile
        and source.rows == gradient.rows
        and source.columns == gradient.columns
        and source.chunk == gradient.chunk
        and 0 <= gradient.pad_y <= gradient.scratch_h - gradient.tile
        and gradient.pad_x >= 0
        and gradient.together * gradient.segment >= gradient.channels
        and blocks * gradient.tiles >= count_threads()
    )


def make_dots(gather: ForwardOffsets, source: LazyActivation, outputs: int, *, bias: bool) -> Dots:
    """Makes the sums of the weight gradient and of the bias gradient, or none of that."""
    parts = _count_parts(gather, source.maps.blocks)
    return Dots.allocate(gather, source.as_source(), (parts, gather.offsets.size), (parts, outputs if bias else 0))


def correlate(gather: ForwardOffsets, gradient: LazyGradient, dots: Dots) -> None:
    """Adds up the weight gradient, and that of the bias, in a pass of its own."""
    maps, parts, grad_tiling = gradient.maps, len(dots.sums), gather.grad_tiling
    size = grad_tiling.scratch_h * grad_tiling.scratch_w * LANES * maps.channels
    run_parallel(_convolutions.correlate, parts, (
        grad_tiling, maps.blocks, maps.lanes,
        gradient.as_source(), (get_tile_scratch(gather.tiling, parts), get_scratch(parts, size, "gradient")), dots,
    ))  # fmt: skip


def split_planes(maps: BlockedTensor) -> tuple[int, int]:
    """Returns the numbers of parts and of planes [block, channel]."""
    count = maps.blocks * maps.channels
    return min(count_threads(), count), count


def add(
    out: BlockedTensor,
    s: BlockedTensor,
    t: BlockedTensor | None,
    a: Array,
    b: Array,
    c: Array,
    relu: Rectifier = NO_RELU,
) -> None:
    """Computes out = a * s + b * t + c, then the ReLU."""
    parts, planes = split_planes(out)
    other = (t or s).data
    arguments = (planes, out.channels, out.plane, out.data, s.data, other, t is not None, a, b, c, relu)
    run_parallel(_elementwise.apply, parts, arguments)


def compute_moments(maps: BlockedTensor) -> Sums:
    """Computes the moments of maps for batch norm, [threads, channels, 3]."""
    parts, planes = split_planes(maps)
    moments = np.zeros((parts, maps.channels, 3))
    arguments = (planes, maps.channels, maps.blocks, maps.lanes, maps.plane, maps.data, moments)
    run_parallel(_elementwise.compute_moments, parts, arguments)
    return moments


def apply_epilogue_to_map(out: BlockedTensor, gradient: BlockedTensor, epilogue: BackwardEpilogue) -> Sums:
    """Applies an epilogue to a stored gradient in a pass of its own; returns sums for batch norm."""
    parts, planes = split_planes(out)
    sums = np.zeros((parts, out.channels, 3))
    arguments = (planes, out.channels, out.plane, out.data, gradient.data, BackwardEpilogue(*epilogue[:-1], sums))
    run_parallel(_elementwise.apply_epilogue_to_map, parts, arguments)
    return sums


def pack(maps: BlockedTensor, tensor: Array, *, back: bool = False) -> None:
    """Copies a contiguous tensor [N, C, H, W] or [N, F], flat, to blocks; or back."""
    pixels = maps.height * maps.width
    if maps.rows:
        units, together, columns, unit, column = pixels, 1, maps.channels, LANES, pixels * LANES
    else:
        units, together, columns = maps.blocks * maps.channels, maps.channels, pixels
        unit, column = pixels * LANES, LANES
    arguments = (units, maps.rows, together, maps.images, columns, tensor, maps.data, unit, column, back)
    run_parallel(_elementwise.pack, min(count_threads(), units), arguments)
