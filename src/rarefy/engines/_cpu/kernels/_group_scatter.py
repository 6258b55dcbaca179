"""The input gradient of groups of consecutive outputs that keep the same positions; see `_group_emit`.

It is also the output of a layer with groups of inputs and without a stride, with a bias and the moments of batch norm.

A chunk of the output gradients of a group stays in registers. For each position of the group, their sum with the values
as factors is added to the chunk of the input gradient that the position reads. The input gradient of some channels is
in scratch memory, with the halo of the input. The tiles of a block follow each other from top to bottom: the last rows
of a tile, to which the next tile adds, move to its front.
"""

# mypy: ignore-errors

from __future__ import annotations

import numpy as np

from rarefy.engines._cpu.kernels._convolutions import sum_bias
from rarefy.engines._cpu.kernels._group_emit import GROUP_SCATTER
from rarefy.engines._cpu.kernels._group_products import add_dots, fill_group
from rarefy.engines._cpu.kernels._numba import cached_njit, inner_njit
from rarefy.engines._cpu.kernels._parallel_for import omp_parallel_for, split_range
from rarefy.engines._cpu.kernels._tiles import FAST, STREAMED, apply_epilogue, fill_tile, update_moments
from rarefy.engines._cpu.kernels._vector_ops import clear, move, stream

_SCATTER0, _SCATTER1, _SCATTER2 = GROUP_SCATTER


@inner_njit(fastmath=FAST, inline="always")
def _add_products(tiling, members, weights, start, stop, y, y_base, plane, y_row, x, x_base):
    values, offsets = weights[0], weights[1]
    unit, x_row = tiling.unit, tiling.scratch_w * 16
    if tiling.chunk == 0:
        _SCATTER0(members, values, offsets, unit, start, stop, y, y_base, plane, y_row, x, x_base, x_row)
    elif tiling.chunk == 1:
        _SCATTER1(members, values, offsets, unit, start, stop, y, y_base, plane, y_row, x, x_base, x_row)
    else:
        _SCATTER2(members, values, offsets, unit, start, stop, y, y_base, plane, y_row, x, x_base, x_row)


@inner_njit(fastmath=FAST)
def _add_chunks(tiling, layout, group, segment, high, x_base, weights, scratch, grads):
    """Adds what a tile of a group's output gradient, of `high` rows, contributes to the channels of a segment."""
    starts, (rows, columns) = weights[2], layout.chunk
    start, stop = np.int64(starts[group, segment]), np.int64(starts[group, segment + 1])
    if start == stop:
        return
    row = layout.grad_tiling.scratch_w * 16
    plane = layout.grad_tiling.scratch_h * row
    for j in range(0, high, rows):
        for i in range(0, tiling.columns, columns):
            target, source = x_base + (j * tiling.scratch_w + i) * 16, j * row + i * 16
            _add_products(tiling, layout.members, weights, start, stop, grads, source, plane, row, scratch, target)


@inner_njit(fastmath=FAST)
def _add_tile(tiling, layout, segment, block, top, lanes, gradient, weights, buffers, dots, part):
    """Adds what a tile of the output gradient contributes to the channels of a segment and to the weight gradient."""
    scratch, grads, source = buffers
    grad_tiling, high = layout.grad_tiling, min(tiling.tile, tiling.rows - top)
    x_base, near = -segment * tiling.segment * tiling.channel_unit, (segment, segment + 1)
    for group in range(weights[2].shape[0]):
        first, last = fill_group(grad_tiling, layout.members, group, block, top, gradient, lanes, grads)
        _add_chunks(tiling, layout, group, segment, high, x_base, weights, scratch, grads)
        if segment == 0 and dots.bias.shape[1] > 0:
            sum_bias(grad_tiling, grads, first, last, high, tiling.out_w, dots.bias[part])
        if dots.active:
            add_dots(dots, layout, grad_tiling, group, near, high, x_base, 0, source, grads, dots.sums[part])


@inner_njit(fastmath=FAST)
def _store_rows(tiling, scratch, index, out, at, count, channel, epilogue, sums):
    """Stores a run of vectors of one channel, after the epilogue, while it is in the cache."""
    if epilogue.active:
        ahead = tiling.height * tiling.width * 16
        apply_epilogue(scratch, index, scratch, index, at, count, channel, epilogue, sums, ahead)
    if out.size >= STREAMED:
        stream(out, at, 1, scratch, index, 1, count)
    else:
        move(out, at, 1, scratch, index, 1, count)


@inner_njit(fastmath=FAST)
def _move_rows(tiling, scratch, index, out, base, top, complete):
    """Moves the complete rows of a channel, whose phases are planes of their own, to the output."""
    plane = tiling.scratch_h * tiling.scratch_w * 16
    for phase_y in range(tiling.phases_y):
        for phase_x in range(tiling.phases_x):
            x0 = phase_x - tiling.pad_x
            left = min(tiling.scratch_w, max(0, -(x0 // tiling.stride_x)))
            right = min(tiling.scratch_w, max(left, (tiling.width - 1 - x0) // tiling.stride_x + 1))
            for j in range(complete):
                y = (top + j) * tiling.stride_y + phase_y - tiling.pad_y
                if 0 <= y < tiling.height:
                    at = ((base + y) * tiling.width + x0 + left * tiling.stride_x) * 16
                    source = index + (j * tiling.scratch_w + left) * 16
                    move(out, at, tiling.stride_x, scratch, source, 1, right - left)
            index += plane


@inner_njit(fastmath=FAST)
def _finish_tile(tiling, channels, block, top, is_last, scratch, out, statistics):
    """Stores the complete rows of the channels, after the epilogue, and keeps those to which the next tile adds."""
    bias, lanes, moments, sums, epilogue = statistics
    plane, phases = tiling.scratch_h * tiling.scratch_w, tiling.phases_y * tiling.phases_x
    high = 0 if top == 0 else min(max(top * tiling.stride_y - tiling.pad_y, 0), tiling.height)
    low = min(max((top + tiling.tile) * tiling.stride_y - tiling.pad_y, 0), tiling.height)
    low = tiling.height if is_last else low
    complete = tiling.scratch_h if is_last else tiling.tile
    stay = plane - complete * tiling.scratch_w
    for channel in range(channels[0], channels[1]):
        index = (channel - channels[0]) * phases * plane * 16
        base = (block * tiling.channels + channel) * tiling.height
        if tiling.stride_y * tiling.stride_x == 1:
            for y in range(high, low):
                source = index + ((y + tiling.pad_y - top) * tiling.scratch_w + tiling.pad_x) * 16
                at = (base + y) * tiling.width * 16
                if bias.size > 0:
                    for i in range(source, source + tiling.width * 16):
                        scratch[i] += bias[channel]
                if moments.size > 0:
                    update_moments(scratch[source : source + tiling.width * 16], lanes, moments[channel])
                _store_rows(tiling, scratch, source, out, at, tiling.width, channel, epilogue, sums[channel])
        else:
            _move_rows(tiling, scratch, index, out, base, top, complete)
            if epilogue.active:
                at, count = (base + high) * tiling.width * 16, (low - high) * tiling.width
                ahead = tiling.height * tiling.width * 16
                apply_epilogue(out, at, out, at, at, count, channel, epilogue, sums[channel], ahead)
        for _ in range(phases):
            move(scratch, index, 1, scratch, index + complete * tiling.scratch_w * 16, 1, stay)
            clear(scratch, index + stay * 16, plane - stay)
            index += plane * 16


@inner_njit(fastmath=FAST)
def _scatter(part, parts, tiling, blocks, lanes, gradient, weights, buffers, moments, epilogue, layout, dots):
    """Computes out = the input gradient. An item is a segment of consecutive tiles of a block."""
    out, scratch, grads, source = buffers[0], buffers[1][part], buffers[2][part], buffers[3][part]
    s, t, two, a, b, c, relu = dots.source
    sums, segments, chains = epilogue.sums[part], weights[2].shape[1] - 1, tiling.tiles // layout.chained
    first_item, last_item = split_range(blocks * chains * segments, part, parts)
    clear(scratch, 0, tiling.segment * tiling.phases_y * tiling.phases_x * tiling.scratch_h * tiling.scratch_w)
    for item in range(first_item, last_item):
        block, chain, segment = item // segments // chains, item // segments % chains, item % segments
        first = segment * tiling.segment
        last = min(first + tiling.segment, tiling.channels)
        plane = tiling.height * tiling.width
        valid = lanes if block == blocks - 1 else 16
        if not layout.is_covered and chain == 0:
            clear(out, (block * tiling.channels + first) * plane * 16, (last - first) * plane)
        for tile in range(chain * layout.chained, (chain + 1) * layout.chained):
            top = tile * tiling.tile
            if dots.active:
                fill_tile(tiling, source, block, top, first, last, s, t, two, a, b, c, relu, valid)
            own_buffers = scratch, grads, source
            _add_tile(tiling, layout, segment, block, top, valid, gradient, weights, own_buffers, dots, part)
            is_last = tile == tiling.tiles - 1
            statistics = weights[3], valid, moments[part], sums, epilogue
            _finish_tile(tiling, (first, last), block, top, is_last, scratch, out, statistics)


@cached_njit(_nrt=False)
def scatter_groups(openmp, part, parts, arguments):
    """Runs `_scatter` in threads; sums of the epilogue are [parts, channels, 3], scratch [parts, floats]."""
    omp_parallel_for(_scatter, openmp, part, parts, arguments)
