"""The input gradient of groups of consecutive outputs that keep the same positions; see `_group_emit`.

A chunk of the output gradients of a group stays in registers. For each position of the group, their sum with the values
as factors is added to the chunk of the input gradient that the position reads. The input gradient of some channels is
in scratch memory, with the halo of the input. The tiles of a block follow each other from top to bottom: the last rows
of a tile, to which the next tile adds, move to its front.
"""

# mypy: ignore-errors

from __future__ import annotations

import numpy as np

from rarefy.engines._cpu.kernels._convolutions import sum_bias
from rarefy.engines._cpu.kernels._group_emit import GROUP_DOT, GROUP_SCATTER
from rarefy.engines._cpu.kernels._numba import cached_njit, inner_njit
from rarefy.engines._cpu.kernels._parallel_for import omp_parallel_for, split_range
from rarefy.engines._cpu.kernels._tiles import FAST, NO_RELU, STREAMED, apply_epilogue, fill_tile
from rarefy.engines._cpu.kernels._vector_ops import clear, move, stream

_SCATTER0, _SCATTER1, _SCATTER2 = GROUP_SCATTER


@inner_njit(fastmath=FAST, inline="always")
def _add_products(tiling, members, weights, start, stop, y, y_base, plane, y_row, x, x_base):
    values, offsets, _ = weights
    unit, x_row = tiling.unit, tiling.scratch_w * 16
    if tiling.chunk == 0:
        _SCATTER0(members, values, offsets, unit, start, stop, y, y_base, plane, y_row, x, x_base, x_row)
    elif tiling.chunk == 1:
        _SCATTER1(members, values, offsets, unit, start, stop, y, y_base, plane, y_row, x, x_base, x_row)
    else:
        _SCATTER2(members, values, offsets, unit, start, stop, y, y_base, plane, y_row, x, x_base, x_row)


@inner_njit(fastmath=FAST)
def _add_chunks(tiling, members, chunk_size, start, stop, high, x_base, weights, buffers, plane, row):
    """Adds what a tile of a group's output gradient, of `high` rows, contributes to the channels of a segment."""
    scratch, grads, _ = buffers
    rows, columns = chunk_size
    for j in range(0, high, rows):
        for i in range(0, tiling.columns, columns):
            target, source = x_base + (j * tiling.scratch_w + i) * 16, j * row + i * 16
            _add_products(tiling, members, weights, start, stop, grads, source, plane, row, scratch, target)


@inner_njit(fastmath=FAST)
def _add_dots(tiling, members, near, start, stop, high, x_base, weights, buffers, plane, row, sums):
    """Adds a tile's part of the weight gradient of a group, from `near` rows at a time."""
    _, grads, source = buffers
    for j in range(0, high, near):
        x_row = tiling.scratch_w * 16
        GROUP_DOT(
            members, sums, weights[1], tiling.unit, start, stop, source, x_base + j * x_row, x_row,
            grads, j * row, plane, row, min(near, high - j), tiling.columns,
        )  # fmt: skip


@inner_njit(fastmath=FAST)
def _add_tile(tiling, grad_tiling, members, sizes, segment, block, top, lanes, gradient, weights, buffers, dots, part):
    """Adds what a tile of the output gradient contributes to the channels of a segment and to the weight gradient."""
    g, t, two, a, b, c = gradient
    starts, grads = weights[2], buffers[1]
    row = grad_tiling.scratch_w * 16
    plane, high = grad_tiling.scratch_h * row, min(tiling.tile, tiling.rows - top)
    x_base = -segment * tiling.segment * tiling.channel_unit
    for group in range(starts.shape[0]):
        start, stop = np.int64(starts[group, segment]), np.int64(starts[group, segment + 1])
        first = group * len(members)
        last = min(first + len(members), tiling.outputs)
        fill_tile(grad_tiling, grads, block, top, first, last, g, t, two, a, b, c, NO_RELU, lanes)
        clear(grads, (last - first) * plane, (len(members) - last + first) * plane // 16)
        if segment == 0 and dots.bias.shape[1] > 0:
            sum_bias(grad_tiling, grads, first, last, high, tiling.columns, dots.bias[part])
        _add_chunks(tiling, members, sizes[0], start, stop, high, x_base, weights, buffers, plane, row)
        if dots.active:
            sums = dots.sums[part]
            _add_dots(tiling, members, sizes[1], start, stop, high, x_base, weights, buffers, plane, row, sums)


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
def _finish_tile(tiling, channels, block, top, is_last, scratch, out, sums, epilogue):
    """Stores the complete rows of the channels, after the epilogue, and keeps those to which the next tile adds."""
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
def _scatter(
    part, parts, members, sizes, is_covered, chained, tiling, grad_tiling, blocks, lanes, gradient, weights, buffers,
    epilogue, dots,
):  # fmt: skip
    """Computes out = the input gradient. An item is a segment of `chained` tiles of a block."""
    out, scratch, grads, source = buffers[0], buffers[1][part], buffers[2][part], buffers[3][part]
    s, a, c, relu = dots.source
    sums, segments, chains = epilogue.sums[part], weights[2].shape[1] - 1, tiling.tiles // chained
    first_item, last_item = split_range(blocks * chains * segments, part, parts)
    clear(scratch, 0, tiling.segment * tiling.phases_y * tiling.phases_x * tiling.scratch_h * tiling.scratch_w)
    for item in range(first_item, last_item):
        block, chain, segment = item // segments // chains, item // segments % chains, item % segments
        first = segment * tiling.segment
        last = min(first + tiling.segment, tiling.channels)
        plane = tiling.height * tiling.width
        valid = lanes if block == blocks - 1 else 16
        if not is_covered and chain == 0:
            clear(out, (block * tiling.channels + first) * plane * 16, (last - first) * plane)
        for tile in range(chain * chained, (chain + 1) * chained):
            top = tile * tiling.tile
            if dots.active:
                fill_tile(tiling, source, block, top, first, last, s, s, False, a, a, c, relu, valid)
            _add_tile(
                tiling, grad_tiling, members, sizes, segment, block, top, valid, gradient, weights,
                (scratch, grads, source), dots, part,
            )  # fmt: skip
            is_last = tile == tiling.tiles - 1
            _finish_tile(tiling, (first, last), block, top, is_last, scratch, out, sums, epilogue)


@cached_njit(_nrt=False)
def scatter_groups(openmp, part, parts, arguments):
    """Runs `_scatter` in threads; sums of the epilogue are [parts, channels, 3], scratch [parts, floats]."""
    omp_parallel_for(_scatter, openmp, part, parts, arguments)
