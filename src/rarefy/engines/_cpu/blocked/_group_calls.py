"""Calls the kernels for groups on whole blocked tensors, split over threads.

Where a layer has groups of inputs, what is said of outputs holds for the inputs, and that of the source for the output
gradient: the kernels see the transposed layer.
"""

from __future__ import annotations

import numpy as np

from rarefy.engines._cpu.blocked._calls import compute_moments, get_tile_scratch
from rarefy.engines._cpu.blocked._groups import GroupOffsets, Groups
from rarefy.engines._cpu.blocked._memory import EMPTY, Array, BlockedTensor, get_scratch
from rarefy.engines._cpu.blocked._offsets import Kept, count_scratch
from rarefy.engines._cpu.blocked._operands import (
    BackwardEpilogue,
    Dots,
    LazyActivation,
    LazyGradient,
    Sums,
    make_no_dots,
    make_no_epilogue,
)
from rarefy.engines._cpu.kernels import LANES, _group_products, _group_scatter, _group_values
from rarefy.engines._cpu.kernels._threads import count_threads, run_parallel

_FEW_VALUES = 32768  # whose copy takes less time than starting threads

Lazy = LazyActivation | LazyGradient


def _count_parts(gather: GroupOffsets, blocks: int) -> int:
    """Returns how many threads have work: items where there are enough, else groups."""
    parts = count_threads()
    return parts if blocks * gather.tiling.tiles >= parts else min(parts, len(gather.starts))


def copy_values(groups: Groups, kept: Kept, values: Array) -> Array:
    """Returns the values as [position, output], flat, in memory that the next call overwrites."""
    grouped: Array = get_scratch(1, groups.value_count, "values")[0]
    if groups.slots is not None and groups.value_count > len(values):
        grouped[: groups.value_count] = 0
    _copy(groups, kept, values, grouped, back=False)
    return grouped


def _copy(groups: Groups, kept: Kept, values: Array, grouped: Array, *, back: bool) -> None:
    parts = count_threads() if groups.value_count > _FEW_VALUES else 1
    if groups.slots is None:
        run_parallel(_group_values.copy_group_values, parts, (back, groups.members, kept, groups.kept, values, grouped))
    else:
        run_parallel(_group_values.copy_to_slots, parts, (back, groups.slots, values, grouped))


def _count_gradient_floats(gather: GroupOffsets, groups: int) -> int:
    """Counts the floats of a tile of the output gradient of some groups."""
    return gather.grad_tiling.scratch_h * gather.grad_tiling.scratch_w * LANES * gather.groups.together * groups


def _make_statistics(
    parts: int, channels: int, epilogue: BackwardEpilogue | None, *, moments: bool
) -> tuple[Sums, Sums, BackwardEpilogue]:
    """Returns what a kernel adds up for batch norm, and how it takes that: as moments or in an epilogue."""
    none, sums = np.zeros((parts, 0, 3)), np.zeros((parts, channels if moments or epilogue is not None else 0, 3))
    if epilogue is None:
        return sums, sums, make_no_epilogue(parts)
    return sums, none, BackwardEpilogue(*epilogue[:-1], sums)


def convolve(
    gather: GroupOffsets,
    values: Array,
    bias: Array,
    source: Lazy,
    out: BlockedTensor,
    *,
    moments: bool = False,
    epilogue: BackwardEpilogue | None = None,
    dots: Dots | None = None,
) -> Sums:
    """Computes out = the convolution of the source, then the epilogue.

    Returns its moments or the sums of the epilogue, [threads, channels, 3], or no channels. The values are those that
    `copy_values` returns. With `dots` it adds up the weight gradient in the same pass: products of the source and of
    the source of `dots`.
    """
    maps, tiling, together = source.maps, gather.tiling, gather.groups.together
    parts = _count_parts(gather, maps.blocks)
    sums, of_output, after = _make_statistics(parts, out.channels, epilogue, moments=moments)
    size = together * len(gather.starts) * tiling.tile_plane
    run_parallel(_group_products.convolve_groups, parts, (
        tiling, maps.blocks, maps.lanes, source.as_source(),
        (values, gather.offsets, gather.starts, _pad(bias, together)),
        (out.data, get_tile_scratch(tiling, parts), get_scratch(parts, size, "output"),
         get_scratch(parts, _count_gradient_floats(gather, 1), "gradient")),
        of_output, after, gather.layout, dots or make_no_dots(parts, gather.offsets.dtype.char),
    ))  # fmt: skip
    return sums


def scatter(
    gather: GroupOffsets,
    values: Array,
    bias: Array,
    gradient: Lazy,
    out: BlockedTensor,
    *,
    moments: bool = False,
    epilogue: BackwardEpilogue | None = None,
    dots: Dots | None = None,
) -> Sums:
    """Computes out = the input gradient plus the bias, then the epilogue; returns what `convolve` returns.

    With `dots` (see `make_dots`) it adds up the weight gradient in the same pass.
    """
    maps, tiling = gradient.maps, gather.tiling
    parts = _count_parts_of_scatter(gather, maps.blocks)
    sums, of_output, after = _make_statistics(parts, out.channels, epilogue, moments=moments)
    buffers = (
        get_tile_scratch(tiling, parts),
        get_scratch(parts, _count_gradient_floats(gather, 1), "gradient"),
        get_scratch(parts, count_scratch(tiling), "output"),
    )
    run_parallel(_group_scatter.scatter_groups, parts, (
        tiling, maps.blocks, maps.lanes, gradient.as_source(),
        (values, gather.offsets, gather.starts, bias if bias.any() else EMPTY), (out.data, *buffers),
        of_output, after, gather.layout, dots or make_no_dots(parts, gather.offsets.dtype.char),
    ))  # fmt: skip
    return sums


def _count_parts_of_scatter(gather: GroupOffsets, blocks: int) -> int:
    chains: int = gather.tiling.tiles // gather.layout.chained
    segments: int = gather.starts.shape[1] - 1
    return min(count_threads(), blocks * chains * segments)


def make_dots(gather: GroupOffsets, source: Lazy, channels: int, *, with_input_gradient: bool) -> Dots:
    """Makes the sums of the weight gradient, and of the bias gradient if it is wanted: of so many channels, else 0."""
    count = _count_parts_of_scatter if with_input_gradient else _count_parts
    parts = count(gather, source.maps.blocks)
    return Dots.allocate(gather, source.as_source(), (parts, gather.groups.value_count), (parts, channels))


def correlate(gather: GroupOffsets, gradient: Lazy, dots: Dots) -> None:
    """Adds up the weight gradient, and that of the bias, in a pass of its own."""
    maps, parts = gradient.maps, len(dots.sums)
    size = _count_gradient_floats(gather, len(gather.starts))
    run_parallel(_group_products.correlate_groups, parts, (
        gather.grad_tiling, maps.blocks, maps.lanes, gradient.as_source(),
        (get_tile_scratch(gather.tiling, parts), get_scratch(parts, size, "gradient")), gather.layout, dots,
    ))  # fmt: skip


def sum_dots(groups: Groups, kept: Kept, dots: Dots) -> tuple[Array, Array]:
    """Returns the gradients of the kept weights in their own order, [nnz], and of the bias, [channels], or empty."""
    grouped, bias = dots.sum()
    values = np.empty(len(kept.positions), np.float32)
    _copy(groups, kept, values, grouped, back=True)
    return values, bias


def sum_gradient(gradient: LazyGradient) -> Array:
    """Returns the sums of a gradient over images and pixels, [channels]: the gradient of a bias."""
    total = gradient.a * _sum(gradient.g) + gradient.c * np.float64(gradient.g.count)
    if gradient.t is not None:
        total += gradient.b * _sum(gradient.t)
    return np.asarray(total, np.float32)


def _sum(maps: BlockedTensor) -> Sums:
    moments = compute_moments(maps)
    total: Sums = (moments[..., 0] * moments[..., 1]).sum(0)
    return total


def _pad(numbers: Array, step: int) -> Array:
    lacking = -len(numbers) % step
    return np.concatenate([numbers, np.zeros(lacking, np.float32)]) if lacking else numbers
