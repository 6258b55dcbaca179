"""Calls kernels on whole blocked tensors, split over threads."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rarefy.engines._cpu.blocked._memory import EMPTY, EMPTY_MOMENTS, Array, BlockedTensor, get_constant, get_scratch
from rarefy.engines._cpu.blocked._offsets import BackwardOffsets, ForwardOffsets, Kept, Positions, count_scratch
from rarefy.engines._cpu.blocked._tiling import Tiling
from rarefy.engines._cpu.kernels import LANES, _convolutions, _elementwise, _layer_norm, _transposed
from rarefy.engines._cpu.kernels._threads import count_threads, run_parallel
from rarefy.engines._cpu.kernels._tiles import NO_RELU, Rectifier

Sums = npt.NDArray[np.float64]


_FEW_WEIGHTS = 8192  # whose transposition takes less time than starting threads


class LazyActivation(NamedTuple):
    """An activation that its reader computes: ``a * maps + c`` per channel, then the ReLU."""

    maps: BlockedTensor
    a: Array
    c: Array
    relu: Rectifier = NO_RELU

    @staticmethod
    def plain(maps: BlockedTensor) -> LazyActivation:
        """Makes the activation of maps as they are stored."""
        return LazyActivation(maps, get_constant(maps.channels, 1), get_constant(maps.channels, 0))

    @property
    def is_plain(self) -> bool:
        """Whether the maps are read as they are stored."""
        return not self.relu.active and self.a is get_constant(self.maps.channels, 1)


class LazyGradient(NamedTuple):
    """A gradient that its reader computes: ``a * g + b * t + c`` per channel."""

    g: BlockedTensor
    t: BlockedTensor | None
    a: Array
    b: Array
    c: Array

    @staticmethod
    def plain(g: BlockedTensor) -> LazyGradient:
        """Makes the gradient of maps as they are stored."""
        one, zero = get_constant(g.channels, 1), get_constant(g.channels, 0)
        return LazyGradient(g, None, one, zero, zero)

    @property
    def is_plain(self) -> bool:
        """Whether the maps are read as they are stored."""
        return self.t is None and self.a is get_constant(self.g.channels, 1)


class BackwardEpilogue(NamedTuple):
    """What is done to an input gradient while it is in the cache: see `kernels._tiles.apply_epilogue`."""

    active: bool
    more: bool
    relu: Rectifier
    norms: int
    add: Array
    source: Array
    a: Array
    c: Array
    first: Array
    first_mean: Array
    second: Array
    second_mean: Array
    sums: Sums


NO_EPILOGUE = BackwardEpilogue._make((False, False, NO_RELU, 0, *[EMPTY] * 8, EMPTY_MOMENTS))


@functools.cache
def _make_no_epilogue(parts: int) -> BackwardEpilogue:
    return NO_EPILOGUE._replace(sums=np.zeros((parts, 0, 3)))


def make_addition_epilogue(others: BlockedTensor) -> BackwardEpilogue:
    """Makes the epilogue that adds other gradients and does nothing else."""
    data = others.data  # the kernel reads arrays that it does not need, too
    return BackwardEpilogue(True, True, NO_RELU, 0, data, data, EMPTY, EMPTY, data, EMPTY, data, EMPTY, EMPTY_MOMENTS)


def _count_parts(gather: ForwardOffsets | BackwardOffsets, blocks: int) -> int:
    """Returns how many threads have work: items where there are enough, else channels; see `_split_work`."""
    tiling, parts = gather.tiling, count_threads()
    channels = gather.starts.shape[0] // (tiling.out_sy * tiling.out_sx)
    return parts if blocks * tiling.tiles >= parts else min(parts, channels)


def get_tile_scratch(tiling: Tiling, parts: int) -> Array:
    """Returns the scratch memory for a tile of the source, [parts, floats]."""
    return get_scratch(parts, count_scratch(tiling))


def convolve(
    gather: ForwardOffsets, values: Array, bias: Array, source: LazyActivation, out: BlockedTensor, *, moments: bool
) -> Sums:
    """Computes out = the convolution of the source; returns its moments, [threads, channels, 3], or no channels."""
    maps = source.maps
    parts = _count_parts(gather, maps.blocks)
    sums = np.zeros((parts, out.channels if moments else 0, 3))
    run_parallel(_convolutions.convolve, parts, (
        gather.tiling, maps.blocks, maps.lanes,
        (maps.data, maps.data, False, source.a, source.a, source.c, source.relu),
        (values, gather.offsets, gather.starts, bias),
        (out.data, get_tile_scratch(gather.tiling, parts), get_scratch(parts, 16 * LANES, "chunk")),
        sums, _make_no_epilogue(parts),
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
) -> Sums:
    """Computes out = the input gradient, then the epilogue; returns sums for batch norm, [threads, channels, 3]."""
    maps, other = gradient.g, gradient.t or gradient.g
    parts = _count_parts(gather, maps.blocks)
    sums = np.zeros((parts, out.channels, 3))
    run_parallel(_convolutions.convolve, parts, (
        gather.tiling, maps.blocks, maps.lanes,
        (maps.data, other.data, gradient.t is not None, gradient.a, gradient.b, gradient.c, NO_RELU),
        (*weights, gather.starts, get_constant(out.channels, 0)),
        (out.data, get_tile_scratch(gather.tiling, parts), get_scratch(parts, 16 * LANES, "chunk")),
        np.empty((parts, 0, 3)), BackwardEpilogue(*epilogue[:-1], sums),
    ))  # fmt: skip
    return sums


def correlate(
    gather: ForwardOffsets, source: LazyActivation, gradient: LazyGradient, *, bias: bool
) -> tuple[Array, Array]:
    """Returns the gradients of the kept weights, [nnz], and of the bias, [channels], or empty."""
    maps, other = source.maps, gradient.t or gradient.g
    parts = _count_parts(gather, maps.blocks)
    sums = np.zeros((parts, gather.offsets.size), np.float32)
    grad_tiling = gather.grad_tiling
    size = grad_tiling.scratch_h * grad_tiling.scratch_w * LANES * gradient.g.channels
    totals = np.zeros((parts, gradient.g.channels if bias else 0), np.float64)
    run_parallel(_convolutions.correlate, parts, (
        gather.tiling, grad_tiling, maps.blocks, maps.lanes,
        (maps.data, source.a, source.c, source.relu),
        (gradient.g.data, other.data, gradient.t is not None, gradient.a, gradient.b, gradient.c),
        gather.offsets, gather.starts, sums, totals,
        (get_tile_scratch(gather.tiling, parts), get_scratch(parts, size, "gradient")),
    ))  # fmt: skip
    return sum_parts(sums), sum_parts(totals).astype(np.float32)


def sum_parts(parts: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Adds up what the threads computed, [parts, ...]."""
    total: npt.NDArray[Any] = parts[0] if len(parts) == 1 else parts.sum(0)
    return total


def _split_planes(maps: BlockedTensor) -> tuple[int, int]:
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
    parts, planes = _split_planes(out)
    other = (t or s).data
    arguments = (planes, out.channels, out.plane, out.data, s.data, other, t is not None, a, b, c, relu)
    run_parallel(_elementwise.apply, parts, arguments)


def compute_moments(maps: BlockedTensor) -> Sums:
    """Computes the moments of maps for batch norm, [threads, channels, 3]."""
    parts, planes = _split_planes(maps)
    moments = np.zeros((parts, maps.channels, 3))
    arguments = (planes, maps.channels, maps.blocks, maps.lanes, maps.plane, maps.data, moments)
    run_parallel(_elementwise.compute_moments, parts, arguments)
    return moments


def apply_epilogue_to_map(out: BlockedTensor, gradient: BlockedTensor, epilogue: BackwardEpilogue) -> Sums:
    """Applies an epilogue to a stored gradient in a pass of its own; returns sums for batch norm."""
    parts, planes = _split_planes(out)
    sums = np.zeros((parts, out.channels, 3))
    arguments = (planes, out.channels, out.plane, out.data, gradient.data, BackwardEpilogue(*epilogue[:-1], sums))
    run_parallel(_elementwise.apply_epilogue_to_map, parts, arguments)
    return sums


def pool(source: LazyActivation, out: BlockedTensor, window: tuple[int, ...], *, largest: bool) -> None:
    """Computes out = the largest, or the mean, of each window of the source."""
    maps = source.maps
    parts, planes = _split_planes(maps)
    sizes = (maps.height, maps.width, out.height, out.width)
    run_parallel(_elementwise.pool, parts, (
        planes, maps.channels, window, sizes, maps.data, source.a, source.c, source.relu, out.data, largest,
        get_scratch(parts, maps.plane, "plane"),
    ))  # fmt: skip


def unpool(
    source: LazyActivation,
    out: BlockedTensor,
    g: BlockedTensor,
    gradient: BlockedTensor,
    window: tuple[int, ...],
    *,
    largest: bool,
) -> None:
    """Computes gradient = the input gradient of `pool`."""
    maps = source.maps
    parts, planes = _split_planes(maps)
    sizes = (maps.height, maps.width, out.height, out.width)
    buffer_sizes = ((maps.plane, "plane"), (out.width * LANES, "line"), (maps.plane, "gradient"))
    run_parallel(_elementwise.unpool, parts, (
        planes, maps.channels, window, sizes, maps.data, source.a, source.c, source.relu,
        out.data, g.data, gradient.data, largest, tuple(get_scratch(parts, *size) for size in buffer_sizes),
    ))  # fmt: skip


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


def normalize_channels(
    maps: BlockedTensor, scale: Array, shift: Array, epsilon: float, out: BlockedTensor
) -> tuple[Array, Array]:
    """Computes out = the layer norm over channels; returns means and inverse deviations, [blocks, pixels, 16]."""
    numbers = tuple(np.empty(maps.blocks * maps.plane, np.float32) for _ in range(2))
    parts = min(count_threads(), maps.blocks * -(-maps.plane // _layer_norm.TILE))
    sizes = maps.blocks, maps.channels, maps.plane
    arguments = (sizes, maps.data, scale, shift, np.float32(epsilon), out.data, *numbers)
    run_parallel(_layer_norm.normalize, parts, arguments)
    return numbers[0], numbers[1]


def normalize_channels_backward(
    maps: BlockedTensor, scale: Array, numbers: tuple[Array, Array], grad: BlockedTensor, out: BlockedTensor
) -> Array:
    """Computes out = the input gradient of `normalize_channels`; returns those of scale and shift, [channels, 2]."""
    parts = min(count_threads(), maps.blocks * -(-maps.plane // _layer_norm.TILE))
    sums, sizes = np.zeros((parts, maps.channels, 2)), (maps.blocks, maps.channels, maps.plane)
    scratch = get_scratch(parts, 2 * _layer_norm.TILE, "sums")
    arguments = (sizes, maps.data, scale, *numbers, grad.data, out.data, sums, scratch)
    run_parallel(_layer_norm.normalize_backward, parts, arguments)
    total: Array = sums.sum(0).astype(np.float32)
    return total
