"""Convolution kernels for groups of consecutive outputs that keep the same positions; see `_group_emit`.

They read and write the same blocks as the kernels for single weights (`_convolutions`). Values are [positions, T], with
zeros for weights of a position that are not kept, and for outputs that the last group lacks.
"""

# mypy: ignore-errors

from __future__ import annotations

import numpy as np

from rarefy.engines._cpu.kernels._convolutions import finish_tile, sum_bias
from rarefy.engines._cpu.kernels._group_emit import GROUP_AXPY, GROUP_DOT
from rarefy.engines._cpu.kernels._numba import cached_njit, inner_njit
from rarefy.engines._cpu.kernels._parallel_for import omp_parallel_for, split_range
from rarefy.engines._cpu.kernels._tiles import FAST, fill_tile
from rarefy.engines._cpu.kernels._vector_ops import clear

_AXPY0, _AXPY1, _AXPY2 = GROUP_AXPY


@inner_njit(fastmath=FAST, inline="always")
def _add_products(tiling, members, weights, start, stop, x, x_base, out, base, plane, row, more, first):
    values, offsets, _, bias = weights
    unit, x_row = tiling.unit, tiling.scratch_w * 16
    if tiling.chunk == 0:
        _AXPY0(members, values, offsets, unit, start, stop, x, x_base, x_row, out, base, plane, row, more, bias, first)
    elif tiling.chunk == 1:
        _AXPY1(members, values, offsets, unit, start, stop, x, x_base, x_row, out, base, plane, row, more, bias, first)
    else:
        _AXPY2(members, values, offsets, unit, start, stop, x, x_base, x_row, out, base, plane, row, more, bias, first)


@inner_njit(fastmath=FAST)
def _convolve_tile(tiling, layout, group, segment, high, x_base, weights, scratch, tile, base):
    """Computes a group's channels in the output tile, from one segment of the source."""
    members, starts, (rows, columns) = layout.members, weights[2], layout.chunk
    start, stop = np.int64(starts[group, segment]), np.int64(starts[group, segment + 1])
    if segment > 0 and start == stop:
        return
    plane, row = tiling.tile_plane, tiling.tile_w * 16
    for j in range(0, high, rows):
        for i in range(0, tiling.columns, columns):
            source = x_base + (j * tiling.scratch_w + i) * 16
            at, first = base + j * row + i * 16, group * len(members)
            _add_products(tiling, members, weights, start, stop, scratch, source, tile, at, plane, row, segment, first)


@inner_njit(inline="always")
def _split_work(tiling, blocks, groups, part, parts):
    """Returns the items [block, tile of rows] and the groups of a part; few items are split by groups."""
    count = blocks * tiling.tiles
    if count >= parts:
        return split_range(count, part, parts), (0, groups)
    return (0, count), split_range(groups, part, parts)


@inner_njit(inline="always")
def _list_outputs(tiling, members, groups):
    """Returns the first and last output of a range of groups."""
    return groups[0] * len(members), min(groups[1] * len(members), tiling.outputs)


@inner_njit(fastmath=FAST)
def fill_group(grad_tiling, members, group, block, top, source, lanes, grads):
    """Copies a tile of a group's outputs; those that the last group lacks are zeros. Returns the first and last one."""
    s, t, two, a, b, c, relu = source
    first = group * len(members)
    last = min(first + len(members), grad_tiling.outputs)
    size = grad_tiling.scratch_h * grad_tiling.scratch_w
    fill_tile(grad_tiling, grads, block, top, first, last, s, t, two, a, b, c, relu, lanes)
    clear(grads, (last - first) * size * 16, (len(members) - last + first) * size)
    return first, last


@inner_njit(fastmath=FAST)
def _correlate_group(dots, layout, group, near, block, top, x_base, scratch, grads, lanes, part):
    """Adds a tile's part of the weight gradient of a group, whose factors are the scratch and the source of `dots`."""
    grad_tiling = layout.grad_tiling
    high = min(grad_tiling.tile, grad_tiling.rows - top)
    fill_group(grad_tiling, layout.members, group, block, top, dots.source, lanes, grads)
    add_dots(dots, layout, grad_tiling, group, near, high, x_base, 0, scratch, grads, dots.sums[part])


@inner_njit(fastmath=FAST)
def _convolve(part, parts, tiling, blocks, lanes, source, weights, buffers, moments_of_parts, epilogue, layout, dots):
    """Computes out = the convolution of a source; with `dots`, the weight gradient of that and the source of `dots`."""
    s, t, two, a, b, c, relu = source
    out, scratches, tiles, grads_of_parts = buffers
    scratch, tile, moments, sums = scratches[part], tiles[part], moments_of_parts[part], epilogue.sums[part]
    items, groups = _split_work(tiling, blocks, weights[2].shape[0], part, parts)
    segments, plane = weights[2].shape[1] - 1, tiling.tile_plane
    outputs = _list_outputs(tiling, layout.members, groups)
    for item in range(items[0], items[1]):
        block, top = item // tiling.tiles, item % tiling.tiles * tiling.tile
        bottom = min(top + tiling.tile, tiling.rows)
        valid = lanes if block == blocks - 1 else 16
        for together in range(0, segments, tiling.together):
            first = together * tiling.segment
            last = min(first + tiling.together * tiling.segment, tiling.channels)
            fill_tile(tiling, scratch, block, top, first, last, s, t, two, a, b, c, relu, valid)
            x_base = -first * tiling.channel_unit
            following = min(together + tiling.together, segments)
            if dots.active:
                for group in range(groups[0], groups[1]):
                    near = (together, following)
                    _correlate_group(
                        dots, layout, group, near, block, top, x_base, scratch, grads_of_parts[part], valid, part
                    )
            for segment in range(together, following):
                for group in range(groups[0], groups[1]):
                    base = (group - groups[0]) * len(layout.members) * plane
                    _convolve_tile(tiling, layout, group, segment, bottom - top, x_base, weights, scratch, tile, base)
        finish_tile(tiling, outputs, block, top, bottom, valid, out, tile, 0, plane, False, moments, sums, epilogue)


@inner_njit(fastmath=FAST)
def add_dots(dots, layout, grad_tiling, group, segments, high, x_base, y_base, source, grads, sums):
    """Adds a tile's part of the weight gradient of a group, from the positions in a range of segments."""
    tiling, members = dots.tiling, layout.members
    start, stop = np.int64(dots.starts[group, segments[0]]), np.int64(dots.starts[group, segments[1]])
    x_row, y_row = tiling.scratch_w * 16, grad_tiling.scratch_w * 16
    for j in range(0, high, layout.near):
        GROUP_DOT(
            members, sums, dots.offsets, tiling.unit, start, stop, source, x_base + j * x_row, x_row,
            grads, y_base + j * y_row, grad_tiling.scratch_h * y_row, y_row, min(layout.near, high - j), tiling.columns,
        )  # fmt: skip


@inner_njit(fastmath=FAST)
def _correlate(part, parts, grad_tiling, blocks, lanes, gradient, buffers, layout, dots):
    """Adds the weight gradient to the sums and the bias gradient to the bias sums."""
    g, t, two, a, b, c, relu = gradient
    scratch, grads, tiling, members = buffers[0][part], buffers[1][part], dots.tiling, layout.members
    sums, bias, (s, s2, s_two, sa, sb, sc, s_relu) = dots.sums[part], dots.bias[part], dots.source
    items, groups = _split_work(tiling, blocks, dots.starts.shape[0], part, parts)
    outputs = _list_outputs(tiling, members, groups)
    segments, size = dots.starts.shape[1] - 1, grad_tiling.scratch_h * grad_tiling.scratch_w
    count = (groups[1] - groups[0]) * len(members)
    for item in range(items[0], items[1]):
        block, top = item // tiling.tiles, item % tiling.tiles * tiling.tile
        high = min(tiling.tile, tiling.rows - top)
        valid = lanes if block == blocks - 1 else 16
        fill_tile(grad_tiling, grads, block, top, outputs[0], outputs[1], g, t, two, a, b, c, relu, valid)
        clear(grads, (outputs[1] - outputs[0]) * size * 16, (count - outputs[1] + outputs[0]) * size)
        if bias.size > 0:
            sum_bias(grad_tiling, grads, outputs[0], outputs[1], high, tiling.out_w, bias)
        for together in range(0, segments, tiling.together):
            first, following = together * tiling.segment, min(together + tiling.together, segments)
            last = min(first + tiling.together * tiling.segment, tiling.channels)
            fill_tile(tiling, scratch, block, top, first, last, s, s2, s_two, sa, sb, sc, s_relu, valid)
            x_base, near = -first * tiling.channel_unit, (together, following)
            for group in range(groups[0], groups[1]):
                y_base = (group - groups[0]) * len(members) * size * 16
                add_dots(dots, layout, grad_tiling, group, near, high, x_base, y_base, scratch, grads, sums)


@cached_njit(_nrt=False)
def convolve_groups(openmp, part, parts, arguments):
    """Runs `_convolve` in threads; moments and sums are [parts, channels, 3], scratch [parts, floats]."""
    omp_parallel_for(_convolve, openmp, part, parts, arguments)


@cached_njit(_nrt=False)
def correlate_groups(openmp, part, parts, arguments):
    """Runs `_correlate` in threads; sums are [parts, positions * T], of the bias [parts, channels]."""
    omp_parallel_for(_correlate, openmp, part, parts, arguments)
