"""Convolution kernels over blocks [images / 16][channel][row][column][16]. Each runs in several threads.

The source that a layer reads is never stored. It is ``a * s + b * t + c`` per channel (batch norm; with t, the gradient
of batch norm), then ReLU where wanted, and is computed while a tile is copied into scratch memory.
"""

# mypy: ignore-errors

from __future__ import annotations

import numpy as np

from rarefy.engines._cpu.kernels._emit import CHUNKS, SPARSE_AXPY, SPARSE_DOT
from rarefy.engines._cpu.kernels._numba import cached_njit, inner_njit
from rarefy.engines._cpu.kernels._parallel_for import omp_parallel_for, split_range
from rarefy.engines._cpu.kernels._tiles import FAST, NO_RELU, apply_epilogue, copy_chunk, fill_tile, update_moments

_ROWS = tuple(chunk[0] for chunk in CHUNKS)
_COLUMNS = tuple(chunk[1] for chunk in CHUNKS)
_AXPY0, _AXPY1, _AXPY2, _AXPY3, _AXPY4 = SPARSE_AXPY
_DOT0, _DOT1, _DOT2, _DOT3, _DOT4 = SPARSE_DOT


@inner_njit(fastmath=FAST, inline="always")
def _add_products(tiling, values, offsets, start, stop, x, x_base, out, base, row, column, more, bias):
    unit, x_row = tiling.unit, tiling.scratch_w * 16
    if tiling.chunk == 0:
        _AXPY0(values, offsets, unit, start, stop, x, x_base, x_row, out, base, row, column, more, bias)
    elif tiling.chunk == 1:
        _AXPY1(values, offsets, unit, start, stop, x, x_base, x_row, out, base, row, column, more, bias)
    elif tiling.chunk == 2:
        _AXPY2(values, offsets, unit, start, stop, x, x_base, x_row, out, base, row, column, more, bias)
    elif tiling.chunk == 3:
        _AXPY3(values, offsets, unit, start, stop, x, x_base, x_row, out, base, row, column, more, bias)
    else:
        _AXPY4(values, offsets, unit, start, stop, x, x_base, x_row, out, base, row, column, more, bias)


@inner_njit(fastmath=FAST, inline="always")
def _add_dots(tiling, sums, offsets, start, stop, x, x_base, y, y_base, y_row):
    unit, x_row = tiling.unit, tiling.scratch_w * 16
    if tiling.chunk == 0:
        _DOT0(sums, offsets, unit, start, stop, x, x_base, x_row, y, y_base, y_row)
    elif tiling.chunk == 1:
        _DOT1(sums, offsets, unit, start, stop, x, x_base, x_row, y, y_base, y_row)
    elif tiling.chunk == 2:
        _DOT2(sums, offsets, unit, start, stop, x, x_base, x_row, y, y_base, y_row)
    elif tiling.chunk == 3:
        _DOT3(sums, offsets, unit, start, stop, x, x_base, x_row, y, y_base, y_row)
    else:
        _DOT4(sums, offsets, unit, start, stop, x, x_base, x_row, y, y_base, y_row)


@inner_njit(fastmath=FAST)
def _convolve_chunk(tiling, channels, segment, block, j, i, x_base, inside, weights, buffers):
    """Computes one chunk of every output channel from one segment of the source.

    `inside`: no part of the chunk is past the grid.
    """
    values, offsets, starts, bias = weights
    out, scratch, chunk = buffers
    rows, columns = _ROWS[tiling.chunk], _COLUMNS[tiling.chunk]
    phases, line = tiling.out_sy * tiling.out_sx, columns * 16
    row, step = tiling.out_sy * tiling.out_w * 16, tiling.out_sx * 16
    for channel in range(channels[0], channels[1]):
        start, stop = np.int64(starts[channel, segment]), np.int64(starts[channel, segment + 1])
        if segment > 0 and start == stop:
            continue
        output, phase = channel // phases, channel % phases
        base, first = (block * tiling.outputs + output) * tiling.out_h, bias[output]
        y, x = j * tiling.out_sy + phase // tiling.out_sx, i * tiling.out_sx + phase % tiling.out_sx
        last_y, last_x = y + (rows - 1) * tiling.out_sy, x + (columns - 1) * tiling.out_sx
        if inside and last_y < tiling.out_h and last_x < tiling.out_w:
            at = ((base + y) * tiling.out_w + x) * 16
            _add_products(tiling, values, offsets, start, stop, scratch, x_base, out, at, row, step, segment, first)
            continue
        high, wide = min(rows, tiling.rows - j), min(columns, tiling.columns - i)
        if segment > 0:
            copy_chunk(tiling, chunk, out, True, base, y, x, high, wide, columns)
        _add_products(tiling, values, offsets, start, stop, scratch, x_base, chunk, 0, line, 16, segment, first)
        copy_chunk(tiling, chunk, out, False, base, y, x, high, wide, columns)


@inner_njit(fastmath=FAST)
def finish_tile(tiling, channels, block, top, bottom, lanes, out, moments, sums, epilogue):
    """Computes moments of an output tile and applies the epilogue, while the tile is in the cache."""
    phases = tiling.out_sy * tiling.out_sx
    high, low = top * tiling.out_sy, min(tiling.out_h, bottom * tiling.out_sy)
    for output in range(channels[0] // phases, channels[1] // phases):
        base = (block * tiling.outputs + output) * tiling.out_h
        lo, hi = (base + high) * tiling.out_w * 16, (base + low) * tiling.out_w * 16
        if moments.size > 0:
            update_moments(out[lo:hi], lanes, moments[output])
        if epilogue.active:
            apply_epilogue(out, lo, hi, output, epilogue, sums[output])


@inner_njit(inline="always")
def _split_work(tiling, blocks, channels, part, parts):
    """Returns the items [block, tile of rows] and output channels of a part; few items are split by channels."""
    count, phases = blocks * tiling.tiles, tiling.out_sy * tiling.out_sx
    if count >= parts:
        return split_range(count, part, parts), (0, channels)
    first, last = split_range(channels // phases, part, parts)
    return (0, count), (first * phases, last * phases)


@inner_njit(fastmath=FAST)
def _convolve(part, parts, tiling, blocks, lanes, source, weights, buffers, moments_of_parts, epilogue):
    """Computes out = the convolution of a source."""
    s, t, two, a, b, c, relu = source
    out, scratches, chunks = buffers
    scratch, moments, sums = scratches[part], moments_of_parts[part], epilogue.sums[part]
    own_buffers = out, scratch, chunks[part]
    items, channels = _split_work(tiling, blocks, weights[2].shape[0], part, parts)
    rows, columns = _ROWS[tiling.chunk], _COLUMNS[tiling.chunk]
    segments = weights[2].shape[1] - 1
    for item in range(items[0], items[1]):
        block, top = item // tiling.tiles, item % tiling.tiles * tiling.tile
        bottom = min(top + tiling.tile, tiling.rows)
        valid = lanes if block == blocks - 1 else 16
        for group in range(0, segments, tiling.together):
            first = group * tiling.segment
            last = min(first + tiling.together * tiling.segment, tiling.channels)
            fill_tile(tiling, scratch, block, top, first, last, s, t, two, a, b, c, relu, valid)
            for j in range(top, bottom, rows):
                for i in range(0, tiling.columns, columns):
                    x_base = ((j - top) * tiling.scratch_w + i) * 16 - first * tiling.channel_unit
                    inside = j + rows <= bottom and i + columns <= tiling.columns
                    for segment in range(group, min(group + tiling.together, segments)):
                        _convolve_chunk(tiling, channels, segment, block, j, i, x_base, inside, weights, own_buffers)
        finish_tile(tiling, channels, block, top, bottom, valid, out, moments, sums, epilogue)


@inner_njit(fastmath=FAST)
def _correlate_chunk(tiling, grad_tiling, channels, segment, x_base, j, i, offsets, starts, sums, scratch, grad):
    """Adds, for each kept weight of a segment, the product of one output-gradient chunk and its input chunk."""
    y_row = grad_tiling.scratch_w * 16
    for channel in range(channels[0], channels[1]):
        start, stop = np.int64(starts[channel, segment]), np.int64(starts[channel, segment + 1])
        if start < stop:
            base = (((channel - channels[0]) * grad_tiling.scratch_h + j) * grad_tiling.scratch_w + i) * 16
            _add_dots(tiling, sums, offsets, start, stop, scratch, x_base, grad, base, y_row)


@inner_njit(fastmath=FAST)
def _correlate(
    part, parts, tiling, grad_tiling, blocks, lanes, source, gradient, offsets, starts, all_sums, all_bias, buffers
):
    """Adds the weight gradient to the sums and the bias gradient to the bias sums."""
    s, a, c, relu = source
    g, t, two, ga, gb, gc = gradient
    scratch, grads = buffers[0][part], buffers[1][part]
    sums, bias = all_sums[part], all_bias[part]
    items, channels = _split_work(tiling, blocks, starts.shape[0], part, parts)
    rows, columns = _ROWS[tiling.chunk], _COLUMNS[tiling.chunk]
    segments = starts.shape[1] - 1
    for item in range(items[0], items[1]):
        block, top = item // tiling.tiles, item % tiling.tiles * tiling.tile
        bottom = min(top + tiling.tile, tiling.rows)
        valid = lanes if block == blocks - 1 else 16
        fill_tile(grad_tiling, grads, block, top, channels[0], channels[1], g, t, two, ga, gb, gc, NO_RELU, valid)
        if bias.size > 0:
            sum_bias(grad_tiling, grads, channels[0], channels[1], bottom - top, bias)
        for group in range(0, segments, tiling.together):
            first = group * tiling.segment
            last = min(first + tiling.together * tiling.segment, tiling.channels)
            fill_tile(tiling, scratch, block, top, first, last, s, s, False, a, a, c, relu, valid)
            for j in range(0, bottom - top, rows):
                for i in range(0, tiling.columns, columns):
                    x_base = (j * tiling.scratch_w + i) * 16 - first * tiling.channel_unit
                    for segment in range(group, min(group + tiling.together, segments)):
                        _correlate_chunk(
                            tiling, grad_tiling, channels, segment, x_base, j, i, offsets, starts, sums, scratch, grads
                        )


@inner_njit(fastmath=FAST)
def sum_bias(grad_tiling, grad_scratch, first, last, rows, bias):
    """Adds up the output gradient over the first `rows` rows of a tile: the bias gradient."""
    count = rows * grad_tiling.scratch_w * 16
    for channel in range(first, last):
        base = (channel - first) * grad_tiling.scratch_h * grad_tiling.scratch_w * 16
        run = grad_scratch[base : base + count]
        total = np.float32(0)
        for i in range(count):
            total += run[i]
        bias[channel] += total


@cached_njit(_nrt=False)
def convolve(openmp, part, parts, arguments):
    """Runs `_convolve` in threads; moments and sums are [parts, channels, 3], scratch [parts, floats]."""
    omp_parallel_for(_convolve, openmp, part, parts, arguments)


@cached_njit(_nrt=False)
def correlate(openmp, part, parts, arguments):
    """Runs `_correlate` in threads; sums are [parts, nnz], of the bias [parts, channels], scratch [parts, floats]."""
    omp_parallel_for(_correlate, openmp, part, parts, arguments)
