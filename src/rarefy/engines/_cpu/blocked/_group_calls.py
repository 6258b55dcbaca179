"""Calls the kernels for groups of outputs on whole blocked tensors, split over threads."""

from __future__ import annotations

import numpy as np

from rarefy.engines._cpu.blocked._calls import get_tile_scratch
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
from rarefy.engines._cpu.kernels._tiles import NO_RELU

_FEW_VALUES = 32768  # whose copy takes less time than starting threads


def _count_parts(gather: GroupOffsets, blocks: int) -> int:
    """Returns how many threads have work: items where there are enough, else groups."""
    parts = count_threads()
    return parts if blocks * gather.tiling.tiles >= parts else min(parts, len(gather.starts))


def _copy_values(kept: Kept, groups: Groups, values: Array, grouped: Array, *, back: bool) -> None:
    parts = count_threads() if groups.value_count > _FEW_VALUES else 1
    run_parallel(_group_values.copy_group_values, parts, (back, groups.members, kept, groups.kept, values, grouped))


def _group_values_of(gather: GroupOffsets, kept: Kept, values: Array) -> Array:
    """Returns the values as [position, output], flat, in memory that the next call overwrites."""
    grouped: Array = get_scratch(1, gather.groups.value_count, "values")[0]
    _copy_values(kept, gather.groups, values, grouped, back=False)
    return grouped


def _count_gradient_floats(gather: GroupOffsets, groups: int) -> int:
    """Counts the floats of a tile of the output gradient of some groups."""
    return gather.grad_tiling.scratch_h * gather.grad_tiling.scratch_w * LANES * gather.groups.together * groups


def convolve(
    gather: GroupOffsets,
    kept: Kept,
    values: Array,
    bias: Array,
    source: LazyActivation,
    out: BlockedTensor,
    *,
    moments: bool,
) -> Sums:
    """Computes out = the convolution of the source; returns its moments, [threads, channels, 3], or no channels."""
    maps, tiling, together = source.maps, gather.tiling, gather.groups.together
    parts = _count_parts(gather, maps.blocks)
    sums = np.zeros((parts, out.channels if moments else 0, 3))
    size = together * len(gather.starts) * tiling.tile_plane
    run_parallel(_group_products.convolve_groups, parts, (
        tiling, maps.blocks, maps.lanes,
        (maps.data, maps.data, False, source.a, source.a, source.c, source.relu),
        (_group_values_of(gather, kept, values), gather.offsets, gather.starts, _pad(bias, together)),
        (out.data, get_tile_scratch(tiling, parts), get_scratch(parts, size, "output")),
        sums, make_no_epilogue(parts), gather.layout, make_no_dots(parts, gather.offsets.dtype.char),
    ))  # fmt: skip
    return sums


def convolve_backward(
    gather: GroupOffsets,
    kept: Kept,
    values: Array,
    gradient: LazyGradient,
    out: BlockedTensor,
    epilogue: BackwardEpilogue,
    dots: Dots | None = None,
) -> Sums:
    """Computes out = the input gradient, then the epilogue; returns sums for batch norm, [threads, channels, 3].

    With `dots` (see `make_dots`) it adds up the weight gradient in the same pass.
    """
    maps, other, tiling = gradient.g, gradient.t or gradient.g, gather.tiling
    parts = _count_parts_of_scatter(gather, maps.blocks)
    sums = np.zeros((parts, out.channels, 3))
    buffers = (
        get_tile_scratch(tiling, parts),
        get_scratch(parts, _count_gradient_floats(gather, 1), "gradient"),
        get_scratch(parts, count_scratch(tiling), "output"),
    )
    run_parallel(_group_scatter.scatter_groups, parts, (
        tiling, maps.blocks, maps.lanes,
        (maps.data, other.data, gradient.t is not None, gradient.a, gradient.b, gradient.c, NO_RELU),
        (_group_values_of(gather, kept, values), gather.offsets, gather.starts, EMPTY), (out.data, *buffers),
        np.empty((parts, 0, 3)), BackwardEpilogue(*epilogue[:-1], sums), gather.layout,
        dots or make_no_dots(parts, gather.offsets.dtype.char),
    ))  # fmt: skip
    return sums


def _count_parts_of_scatter(gather: GroupOffsets, blocks: int) -> int:
    chains: int = gather.tiling.tiles // gather.layout.chained
    segments: int = gather.starts.shape[1] - 1
    return min(count_threads(), blocks * chains * segments)


def make_dots(
    gather: GroupOffsets, source: LazyActivation, outputs: int, *, bias: bool, with_input_gradient: bool
) -> Dots:
    """Makes the sums of the weight gradient and of the bias gradient, or none of that."""
    count = _count_parts_of_scatter if with_input_gradient else _count_parts
    parts = count(gather, source.maps.blocks)
    return Dots.allocate(gather, source, (parts, gather.groups.value_count), (parts, outputs if bias else 0))


def correlate(gather: GroupOffsets, gradient: LazyGradient, dots: Dots) -> None:
    """Adds up the weight gradient, and that of the bias, in a pass of its own."""
    maps, other, parts = gradient.g, gradient.t or gradient.g, len(dots.sums)
    size = _count_gradient_floats(gather, len(gather.starts))
    run_parallel(_group_products.correlate_groups, parts, (
        gather.grad_tiling, maps.blocks, maps.lanes,
        (maps.data, other.data, gradient.t is not None, gradient.a, gradient.b, gradient.c),
        (get_tile_scratch(gather.tiling, parts), get_scratch(parts, size, "gradient")), gather.layout, dots,
    ))  # fmt: skip


def sum_dots(gather: GroupOffsets, kept: Kept, dots: Dots) -> tuple[Array, Array]:
    """Returns the gradients of the kept weights in their own order, [nnz], and of the bias, [channels], or empty."""
    grouped, bias = dots.sum()
    values = np.empty(len(kept.positions), np.float32)
    _copy_values(kept, gather.groups, values, grouped, back=True)
    return values, bias


def _pad(numbers: Array, step: int) -> Array:
    lacking = -len(numbers) % step
    return np.concatenate([numbers, np.zeros(lacking, np.float32)]) if lacking else numbers
