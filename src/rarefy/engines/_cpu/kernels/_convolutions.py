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
from rarefy.engines._cpu.kernels._tiles import FAST, STREAMED, apply_epilogue, fill_tile, update_moments
from rarefy.engines._cpu.kernels._vector_ops import move, stream

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
def _convolve_chunk(tiling, outputs, segment, j, i, x_base, weights, scratch, tile, tile_base, plane):
    """Computes one chunk of every output channel, in the output tile, from one segment of the source."""
    values, offsets, starts, bias = weights
    line = tiling.tile_w * 16
    row, step = tiling.out_sy * line, tiling.out_sx * 16
    channel = outputs[0] * tiling.out_sy * tiling.out_sx
    for output in range(outputs[0], outputs[1]):
        base, first = tile_base + (output - outputs[0]) * plane + j * row + i * step, bias[output]
        for y in range(tiling.out_sy):
            for x in range(tiling.out_sx):
                start, stop = np.int64(starts[channel, segment]), np.int64(starts[channel, segment + 1])
                channel += 1
                if segment == 0 or start < stop:
                    at = base + y * line + x * 16
                    _add_products(
                        tiling, values, offsets, start, stop, scratch, x_base, tile, at, row, step, segment, first
                    )


@inner_njit(fastmath=FAST)
def finish_tile(
    tiling, outputs, block, top, bottom, lanes, out, tile, tile_base, plane, in_place, moments, sums, epilogue
):
    """Computes moments of an output tile, applies the epilogue and stores it, while it is in the cache."""
    high, low = top * tiling.out_sy, min(tiling.out_h, bottom * tiling.out_sy)
    runs, count, ahead = low - high, tiling.out_w, tiling.out_h * tiling.out_w * 16
    if count == tiling.tile_w:
        runs, count = 1, runs * count
    for output in range(outputs[0], outputs[1]):
        for run in range(runs):
            index = tile_base + (output - outputs[0]) * plane + run * tiling.tile_w * 16
            at = (((block * tiling.outputs + output) * tiling.out_h + high + run) * tiling.out_w) * 16
            if moments.size > 0:
                update_moments(tile[index : index + count * 16], lanes, moments[output])
            if epilogue.active:
                apply_epilogue(tile, index, tile, index, at, count, output, epilogue, sums[output], ahead)
            if in_place:
                continue
            if out.size >= STREAMED:
                stream(out, at, 1, tile, index, 1, count)
            else:
                move(out, at, 1, tile, index, 1, count)


@inner_njit(inline="always")
def _split_work(tiling, blocks, part, parts):
    """Returns the items [block, tile of rows] and output channels of a part; few items are split by channels."""
    count = blocks * tiling.tiles
    if count >= parts:
        return split_range(count, part, parts), (0, tiling.outputs)
    return (0, count), split_range(tiling.outputs, part, parts)


@inner_njit(fastmath=FAST)
def _convolve(part, parts, tiling, blocks, lanes, source, weights, buffers, moments_of_parts, epilogue, dots):
    """Computes out = the convolution of a source; with `dots`, which is a gradient then, the weight gradient, too."""
    s, t, two, a, b, c, relu = source
    out, scratches, tiles, in_place = buffers
    scratch, moments, sums = scratches[part], moments_of_parts[part], epilogue.sums[part]
    items, outputs = _split_work(tiling, blocks, part, parts)
    rows, columns = _ROWS[tiling.chunk], _COLUMNS[tiling.chunk]
    segments, inputs = weights[2].shape[1] - 1, (np.int64(0), tiling.channels)  # a literal would compile more
    tile, plane = (out, tiling.out_h * tiling.out_w * 16) if in_place else (tiles[part], tiling.tile_plane)
    for item in range(items[0], items[1]):
        block, top = item // tiling.tiles, item % tiling.tiles * tiling.tile
        bottom = min(top + tiling.tile, tiling.rows)
        valid = lanes if block == blocks - 1 else 16
        base = (block * tiling.outputs + outputs[0]) * plane if in_place else 0
        for group in range(0, segments, tiling.together):
            first = group * tiling.segment
            last = min(first + tiling.together * tiling.segment, tiling.channels)
            fill_tile(tiling, scratch, block, top, first, last, s, t, two, a, b, c, relu, valid)
            if dots.active:
                _correlate_tile(dots, tiling, inputs, block, top, bottom, valid, scratch, tiles[part], part)
            for j in range(0, bottom - top, rows):
                for i in range(0, tiling.columns, columns):
                    x_base = (j * tiling.scratch_w + i) * 16 - first * tiling.channel_unit
                    for segment in range(group, min(group + tiling.together, segments)):
                        _convolve_chunk(tiling, outputs, segment, j, i, x_base, weights, scratch, tile, base, plane)
        finish_tile(
            tiling, outputs, block, top, bottom, valid, out, tile, base, plane, in_place, moments, sums, epilogue
        )


@inner_njit(fastmath=FAST)
def _correlate_tile(dots, grad_tiling, channels, block, top, bottom, lanes, grads, scratch, part):
    """Adds a tile's part of the weight gradient to the sums, and of the bias gradient to the bias sums.

    `grads`: the tile of the output gradient, of `channels`. `scratch`: memory for that of the source.
    """
    tiling, sums, bias = dots.tiling, dots.sums[part], dots.bias[part]
    rows, columns = _ROWS[tiling.chunk], _COLUMNS[tiling.chunk]
    segments = dots.starts.shape[1] - 1
    if bias.size > 0:
        sum_bias(grad_tiling, grads, channels[0], channels[1], bottom - top, tiling.out_w, bias)
    s, t, two, a, b, c, relu = dots.source
    for group in range(0, segments, tiling.together):
        first = group * tiling.segment
        last = min(first + tiling.together * tiling.segment, tiling.channels)
        fill_tile(tiling, scratch, block, top, first, last, s, t, two, a, b, c, relu, lanes)
        for j in range(0, bottom - top, rows):
            for i in range(0, tiling.columns, columns):
                x_base = (j * tiling.scratch_w + i) * 16 - first * tiling.channel_unit
                for segment in range(group, min(group + tiling.together, segments)):
                    _correlate_chunk(dots, grad_tiling, channels, segment, x_base, j, i, sums, scratch, grads)


@inner_njit(fastmath=FAST)
def _correlate_chunk(dots, grad_tiling, channels, segment, x_base, j, i, sums, scratch, grads):
    """Adds, for each kept weight of a segment, the product of one output-gradient chunk and its input chunk."""
    y_row, starts = grad_tiling.scratch_w * 16, dots.starts
    plane = grad_tiling.scratch_h * y_row
    base = (j + grad_tiling.pad_y) * y_row + (i + grad_tiling.pad_x) * 16
    for channel in range(channels[0], channels[1]):
        start, stop = np.int64(starts[channel, segment]), np.int64(starts[channel, segment + 1])
        if start < stop:
            at = base + (channel - channels[0]) * plane
            _add_dots(dots.tiling, sums, dots.offsets, start, stop, scratch, x_base, grads, at, y_row)


@inner_njit(fastmath=FAST)
def _correlate(part, parts, grad_tiling, blocks, lanes, gradient, buffers, dots):
    """Adds the weight gradient to the sums and the bias gradient to the bias sums."""
    g, t, two, a, b, c, relu = gradient
    scratch, grads, tiling = buffers[0][part], buffers[1][part], dots.tiling
    items, channels = _split_work(tiling, blocks, part, parts)
    for item in range(items[0], items[1]):
        block, top = item // tiling.tiles, item % tiling.tiles * tiling.tile
        bottom = min(top + tiling.tile, tiling.rows)
        valid = lanes if block == blocks - 1 else 16
        fill_tile(grad_tiling, grads, block, top, channels[0], channels[1], g, t, two, a, b, c, relu, valid)
        _correlate_tile(dots, grad_tiling, channels, block, top, bottom, valid, grads, scratch, part)


@inner_njit(fastmath=FAST)
def sum_bias(grad_tiling, grads, first, last, rows, columns, bias):
    """Adds up the output gradient of a tile, without its halo: the bias gradient."""
    line = grad_tiling.scratch_w * 16
    for channel in range(first, last):
        plane = ((channel - first) * grad_tiling.scratch_h + grad_tiling.pad_y) * line + grad_tiling.pad_x * 16
        for row in range(rows):
            run = grads[plane + row * line : plane + row * line + columns * 16]
            total = np.float32(0)
            for i in range(run.size):
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
