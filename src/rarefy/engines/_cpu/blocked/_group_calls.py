"""Calls the kernels for groups of outputs on whole blocked tensors, split over threads."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rarefy.engines._cpu.blocked import _calls
from rarefy.engines._cpu.blocked._calls import (
    BackwardEpilogue,
    LazyActivation,
    LazyGradient,
    Sums,
    get_tile_scratch,
    sum_parts,
)
from rarefy.engines._cpu.blocked._groups import GroupOffsets, Groups
from rarefy.engines._cpu.blocked._memory import EMPTY, Array, BlockedTensor, get_scratch
from rarefy.engines._cpu.blocked._offsets import Kept, count_scratch
from rarefy.engines._cpu.blocked._tiling import covers_source
from rarefy.engines._cpu.kernels import LANES, _group_products, _group_scatter, _group_values
from rarefy.engines._cpu.kernels._threads import count_threads, run_parallel
from rarefy.engines._cpu.kernels._tiles import NO_RELU, Rectifier

_NO_SOURCE = (EMPTY, EMPTY, EMPTY, NO_RELU)
_FEW_VALUES = 32768  # whose copy takes less time than starting threads


def _count_parts(gather: GroupOffsets, blocks: int) -> int:
    """Returns how many threads have work: items where there are enough, else groups."""
    parts = count_threads()
    return parts if blocks * gather.tiling.tiles >= parts else min(parts, len(gather.starts))


def _copy_values(kept: Kept, groups: Groups, values: Array, grouped: Array, *, back: bool) -> None:
    parts = count_threads() if groups.stored > _FEW_VALUES else 1
    run_parallel(_group_values.copy_group_values, parts, (back, groups.together, kept, groups.kept, values, grouped))


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
    maps, groups = source.maps, gather.groups
    grouped = get_scratch(1, groups.stored, "values")[0]
    _copy_values(kept, groups, values, grouped, back=False)
    parts = _count_parts(gather, maps.blocks)
    sums = np.zeros((parts, out.channels if moments else 0, 3))
    size = groups.together * len(gather.starts) * gather.tiling.tile_plane
    run_parallel(_group_products.convolve_groups, parts, (
        gather.members, gather.chunk, gather.tiling, maps.blocks, maps.lanes,
        (maps.data, source.a, source.c, source.relu),
        (grouped, gather.offsets, gather.starts, _pad(bias, groups.together)),
        (out.data, get_tile_scratch(gather.tiling, parts), get_scratch(parts, size, "output")),
        sums, _calls.NO_EPILOGUE,
    ))  # fmt: skip
    return sums


class GroupDots(NamedTuple):
    """What the input gradient's kernel needs for the weight gradient, too, and where it adds that up."""

    active: bool
    source: tuple[Array, Array, Array, Rectifier]
    sums: Array
    bias: Sums


def differentiate(
    gather: GroupOffsets,
    kept: Kept,
    values: Array,
    source: LazyActivation | None,
    gradient: LazyGradient,
    out: BlockedTensor,
    epilogue: BackwardEpilogue,
    *,
    bias: bool,
) -> tuple[Sums, tuple[Array, Array]]:
    """Computes out = the input gradient, then the epilogue; with a source the weight gradient, too.

    Returns:
        Sums for batch norm, [threads, channels, 3]; the gradients of the kept weights, [nnz], and of the bias.
    """
    maps, other, groups, tiling = gradient.g, gradient.t or gradient.g, gather.groups, gather.tiling
    grouped = get_scratch(1, groups.stored, "values")[0]
    _copy_values(kept, groups, values, grouped, back=False)
    segments = gather.starts.shape[1] - 1
    parts = min(count_threads(), maps.blocks * (tiling.tiles // gather.chained) * segments)
    sums = np.zeros((parts, out.channels, 3))
    size = gather.grad_tiling.scratch_h * gather.grad_tiling.scratch_w * LANES * groups.together
    lazy = source or LazyActivation.plain(out)
    dots = GroupDots(
        source is not None,
        (lazy.maps.data, lazy.a, lazy.c, lazy.relu),
        np.zeros((parts, groups.stored if source else 0), np.float32),
        np.zeros((parts, maps.channels if bias else 0)),
    )
    run_parallel(_group_scatter.scatter_groups, parts, (
        gather.members, (gather.chunk, gather.near_rows), covers_source(tiling), gather.chained,
        tiling, gather.grad_tiling,
        maps.blocks, maps.lanes,
        (maps.data, other.data, gradient.t is not None, gradient.a, gradient.b, gradient.c),
        (grouped, gather.offsets, gather.starts),
        (
            out.data, get_tile_scratch(tiling, parts), get_scratch(parts, size, "gradient"),
            get_scratch(parts, count_scratch(tiling) if source else 0, "output"),
        ),
        BackwardEpilogue(*epilogue[:-1], sums), dots,
    ))  # fmt: skip
    return sums, _collect_grads(kept, groups, dots)


def correlate(
    gather: GroupOffsets, kept: Kept, source: LazyActivation, gradient: LazyGradient, *, bias: bool
) -> tuple[Array, Array]:
    """Returns the gradients of the kept weights, [nnz], and of the bias, [channels], or empty."""
    maps, other, groups = source.maps, gradient.t or gradient.g, gather.groups
    parts = _count_parts(gather, maps.blocks)
    sums = np.zeros((parts, groups.stored), np.float32)
    grad_tiling, channels = gather.grad_tiling, gradient.g.channels
    size = grad_tiling.scratch_h * grad_tiling.scratch_w * LANES * groups.together * len(gather.starts)
    totals = np.zeros((parts, channels if bias else 0), np.float64)
    run_parallel(_group_products.correlate_groups, parts, (
        gather.members, gather.near_rows, gather.tiling, grad_tiling, maps.blocks, maps.lanes,
        (maps.data, source.a, source.c, source.relu),
        (gradient.g.data, other.data, gradient.t is not None, gradient.a, gradient.b, gradient.c),
        gather.offsets, gather.starts, sums, totals,
        (get_tile_scratch(gather.tiling, parts), get_scratch(parts, size, "gradient")),
    ))  # fmt: skip
    return _collect_grads(kept, groups, GroupDots(True, _NO_SOURCE, sums, totals))


def _collect_grads(kept: Kept, groups: Groups, dots: GroupDots) -> tuple[Array, Array]:
    """Returns the gradients of the kept weights in their own order, and of the bias."""
    values = np.empty(len(kept.positions), np.float32)
    if dots.active:
        _copy_values(kept, groups, values, sum_parts(dots.sums), back=True)
    return values, sum_parts(dots.bias).astype(np.float32)


def _pad(numbers: Array, step: int) -> Array:
    lacking = -len(numbers) % step
    return np.concatenate([numbers, np.zeros(lacking, np.float32)]) if lacking else numbers
