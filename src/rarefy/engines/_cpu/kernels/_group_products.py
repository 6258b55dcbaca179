"""Convolution kernels for groups of consecutive outputs that keep the same positions; see `_group_emit`.

They read and write the same blocks as the kernels for single weights (`_convolutions`). Values are [positions, T], with
zeros for weights of a position that are not kept. Where the last group has fewer outputs, its chunks go through a
buffer.
"""

# mypy: ignore-errors

from __future__ import annotations

import numpy as np

from rarefy.engines._cpu.kernels._convolutions import sum_bias
from rarefy.engines._cpu.kernels._group_emit import GROUP_AXPY, GROUP_DOT, GROUP_SCATTER
from rarefy.engines._cpu.kernels._numba import cached_njit, inner_njit
from rarefy.engines._cpu.kernels._parallel_for import omp_parallel_for, split_range
from rarefy.engines._cpu.kernels._tiles import FAST, NO_RELU, copy_chunk, fill_tile, update_moments
from rarefy.engines._cpu.kernels._vector_ops import clear

_AXPY0, _AXPY1, _AXPY2 = GROUP_AXPY
_SCATTER0, _SCATTER1, _SCATTER2 = GROUP_SCATTER


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
def _convolve_tile(tiling, members, chunk_size, group, segment, block, top, bottom, x_base, weights, buffers):
    """Computes a tile of a group's output channels from one segment of the source."""
    starts, (out, scratch, chunk), (rows, columns) = weights[2], buffers, chunk_size
    start, stop = np.int64(starts[group, segment]), np.int64(starts[group, segment + 1])
    if segment > 0 and start == stop:
        return
    size, row = rows * columns * 16, tiling.out_w * 16
    first = group * len(members)
    count = min(len(members), tiling.outputs - first)
    base, plane = (block * tiling.outputs + first) * tiling.out_h, tiling.out_h * row
    for j in range(top, bottom, rows):
        for i in range(0, tiling.columns, columns):
            source = x_base + ((j - top) * tiling.scratch_w + i) * 16
            if j + rows <= bottom and i + columns <= tiling.columns and count == len(members):
                at = ((base + j) * tiling.out_w + i) * 16
                _add_products(
                    tiling, members, weights, start, stop, scratch, source, out, at, plane, row, segment, first
                )
                continue
            if segment > 0:
                for t in range(count):
                    part = chunk[t * size : t * size + size]
                    copy_chunk(tiling, part, out, True, base + t * tiling.out_h, j, i, rows, columns, columns)
            _add_products(
                tiling, members, weights, start, stop, scratch, source, chunk, 0, size, columns * 16, segment, first
            )
            for t in range(count):
                part = chunk[t * size : t * size + size]
                copy_chunk(tiling, part, out, False, base + t * tiling.out_h, j, i, rows, columns, columns)


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
def _add_moments(tiling, outputs, block, top, bottom, lanes, out, moments):
    """Computes moments of an output tile, while it is in the cache."""
    for output in range(outputs[0], outputs[1]):
        base = (block * tiling.outputs + output) * tiling.out_h
        lo, hi = (base + top) * tiling.out_w * 16, (base + bottom) * tiling.out_w * 16
        update_moments(out[lo:hi], lanes, moments[output])


@inner_njit(fastmath=FAST)
def _convolve(part, parts, members, chunk_size, tiling, blocks, lanes, source, weights, buffers, moments_of_parts):
    """Computes out = the convolution of a source."""
    s, a, c, relu = source
    out, scratches, chunks = buffers
    scratch, moments = scratches[part], moments_of_parts[part]
    own_buffers = out, scratch, chunks[part]
    items, groups = _split_work(tiling, blocks, weights[2].shape[0], part, parts)
    segments = weights[2].shape[1] - 1
    for item in range(items[0], items[1]):
        block, top = item // tiling.tiles, item % tiling.tiles * tiling.tile
        bottom = min(top + tiling.tile, tiling.rows)
        valid = lanes if block == blocks - 1 else 16
        for together in range(0, segments, tiling.together):
            first = together * tiling.segment
            last = min(first + tiling.together * tiling.segment, tiling.channels)
            fill_tile(tiling, scratch, block, top, first, last, s, s, False, a, a, c, relu, valid)
            x_base = -first * tiling.channel_unit
            for segment in range(together, min(together + tiling.together, segments)):
                for group in range(groups[0], groups[1]):
                    _convolve_tile(
                        tiling, members, chunk_size, group, segment, block, top, bottom, x_base, weights, own_buffers
                    )
        outputs = _list_outputs(tiling, members, groups)
        if moments.size > 0:
            _add_moments(tiling, outputs, block, top, bottom, valid, out, moments)


@inner_njit(fastmath=FAST)
def _correlate(
    part, parts, members, near, tiling, grad_tiling, blocks, lanes, source, gradient, offsets, starts, all_sums,
    all_bias, buffers,
):  # fmt: skip
    """Adds the weight gradient to the sums and the bias gradient to the bias sums."""
    s, a, c, relu = source
    g, t, two, ga, gb, gc = gradient
    scratch, grads = buffers[0][part], buffers[1][part]
    sums, bias = all_sums[part], all_bias[part]
    items, groups = _split_work(tiling, blocks, starts.shape[0], part, parts)
    outputs = _list_outputs(tiling, members, groups)
    segments = starts.shape[1] - 1
    size = grad_tiling.scratch_h * grad_tiling.scratch_w
    count = (groups[1] - groups[0]) * len(members)
    for item in range(items[0], items[1]):
        block, top = item // tiling.tiles, item % tiling.tiles * tiling.tile
        bottom = min(top + tiling.tile, tiling.rows)
        valid = lanes if block == blocks - 1 else 16
        fill_tile(grad_tiling, grads, block, top, outputs[0], outputs[1], g, t, two, ga, gb, gc, NO_RELU, valid)
        clear(grads, (outputs[1] - outputs[0]) * size * 16, (count - outputs[1] + outputs[0]) * size)
        if bias.size > 0:
            sum_bias(grad_tiling, grads, outputs[0], outputs[1], bottom - top, tiling.out_w, bias)
        for together in range(0, segments, tiling.together):
            first = together * tiling.segment
            last = min(first + tiling.together * tiling.segment, tiling.channels)
            fill_tile(tiling, scratch, block, top, first, last, s, s, False, a, a, c, relu, valid)
            for j in range(0, bottom - top, near):
                high = min(near, bottom - top - j)
                x_base = j * tiling.scratch_w * 16 - first * tiling.channel_unit
                for group in range(groups[0], groups[1]):
                    y_base = ((group - groups[0]) * len(members) * size + j * grad_tiling.scratch_w) * 16
                    start = np.int64(starts[group, together])
                    stop = np.int64(starts[group, min(together + tiling.together, segments)])
                    GROUP_DOT(
                        members, sums, offsets, tiling.unit, start, stop, scratch, x_base, tiling.scratch_w * 16,
                        grads, y_base, size * 16, grad_tiling.scratch_w * 16, high, tiling.columns,
                    )  # fmt: skip


@cached_njit(_nrt=False)
def convolve_groups(openmp, part, parts, arguments):
    """Runs `_convolve` in threads; moments and sums are [parts, channels, 3], scratch [parts, floats]."""
    omp_parallel_for(_convolve, openmp, part, parts, arguments)


@cached_njit(_nrt=False)
def correlate_groups(openmp, part, parts, arguments):
    """Runs `_correlate` in threads; sums are [parts, positions * T], of the bias [parts, channels]."""
    omp_parallel_for(_correlate, openmp, part, parts, arguments)
