"""Calls the kernels of pooling and layer norm on whole blocked tensors."""

from __future__ import annotations

import numpy as np

from rarefy.engines._cpu.blocked._calls import split_planes
from rarefy.engines._cpu.blocked._memory import Array, BlockedTensor, get_scratch
from rarefy.engines._cpu.blocked._operands import BackwardEpilogue, LazyActivation, Sums
from rarefy.engines._cpu.kernels import LANES, _elementwise, _layer_norm
from rarefy.engines._cpu.kernels._threads import count_threads, run_parallel


def pool(source: LazyActivation, out: BlockedTensor, window: tuple[int, ...], *, largest: bool) -> None:
    """Computes out = the largest, or the mean, of each window of the source."""
    maps = source.maps
    parts, planes = split_planes(maps)
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
    epilogue: BackwardEpilogue,
    *,
    largest: bool,
) -> Sums:
    """Computes gradient = the input gradient of `pool`, then the epilogue; returns sums for batch norm."""
    maps = source.maps
    parts, planes = split_planes(maps)
    sizes = (maps.height, maps.width, out.height, out.width)
    sums = np.zeros((parts, maps.channels, 3))
    buffer_sizes = ((maps.plane, "plane"), (out.width * LANES, "line"), (maps.plane, "gradient"))
    run_parallel(_elementwise.unpool, parts, (
        planes, maps.channels, window, sizes, maps.data, source.a, source.c, source.relu,
        out.data, g.data, gradient.data, largest, tuple(get_scratch(parts, *size) for size in buffer_sizes),
        BackwardEpilogue(*epilogue[:-1], sums),
    ))  # fmt: skip
    return sums


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
