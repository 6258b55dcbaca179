"""Numba kernels over blocks [images / 16][channel][row][column][16]. Every one runs in several threads.

A source is never stored as the layer sees it: it is ``a * s + b * t + c`` a channel (batch norm; with t the gradient of
batch norm), then ReLU where asked, worked out while a tile is copied into scratch memory.
"""

# mypy: ignore-errors

from __future__ import annotations

import numpy as np
from numba import njit

from rarefy.engines._cpu.kernels._compile import kept_njit
from rarefy.engines._cpu.kernels._emit import CHUNKS, DOTS, GATHER
from rarefy.engines._cpu.kernels._team import launch, share
from rarefy.engines._cpu.kernels._tiles import FAST, fill, finish, measure, scatter

_ROWS = tuple(chunk[0] for chunk in CHUNKS)
_COLUMNS = tuple(chunk[1] for chunk in CHUNKS)
_GATHER0, _GATHER1, _GATHER2, _GATHER3, _GATHER4 = GATHER
_DOTS0, _DOTS1, _DOTS2, _DOTS3, _DOTS4 = DOTS


@njit(nogil=True, fastmath=FAST, inline="always", _nrt=False)
def _gather(chunk, values, offsets, start, stop, x, x_base, x_row, out, base, row, column, more, bias):
    if chunk == 0:
        _GATHER0(values, offsets, start, stop, x, x_base, x_row, out, base, row, column, more, bias)
    elif chunk == 1:
        _GATHER1(values, offsets, start, stop, x, x_base, x_row, out, base, row, column, more, bias)
    elif chunk == 2:
        _GATHER2(values, offsets, start, stop, x, x_base, x_row, out, base, row, column, more, bias)
    elif chunk == 3:
        _GATHER3(values, offsets, start, stop, x, x_base, x_row, out, base, row, column, more, bias)
    else:
        _GATHER4(values, offsets, start, stop, x, x_base, x_row, out, base, row, column, more, bias)


@njit(nogil=True, fastmath=FAST, inline="always", _nrt=False)
def _dots(chunk, sums, offsets, start, stop, x, x_base, x_row, y, y_base, y_row):
    if chunk == 0:
        _DOTS0(sums, offsets, start, stop, x, x_base, x_row, y, y_base, y_row)
    elif chunk == 1:
        _DOTS1(sums, offsets, start, stop, x, x_base, x_row, y, y_base, y_row)
    elif chunk == 2:
        _DOTS2(sums, offsets, start, stop, x, x_base, x_row, y, y_base, y_row)
    elif chunk == 3:
        _DOTS3(sums, offsets, start, stop, x, x_base, x_row, y, y_base, y_row)
    else:
        _DOTS4(sums, offsets, start, stop, x, x_base, x_row, y, y_base, y_row)


@njit(nogil=True, fastmath=FAST, _nrt=False)
def _chunk(walk, channels, segment, block, j, i, x_base, inside, weights, buffers):
    """One chunk of every output channel, from one segment of the source; `inside`: no part of it is past the grid."""
    values, offsets, starts, bias = weights
    out, scratch, small = buffers
    rows, columns, x_row = _ROWS[walk.chunk], _COLUMNS[walk.chunk], walk.scratch_w * 16
    phases, row, step, line = walk.out_sy * walk.out_sx, walk.out_sy * walk.out_w * 16, walk.out_sx * 16, columns * 16
    for channel in range(channels[0], channels[1]):
        start, stop = np.int64(starts[channel, segment]), np.int64(starts[channel, segment + 1])
        if segment > 0 and start == stop:
            continue
        number, phase = channel // phases, channel % phases
        base, first = (block * walk.outputs + number) * walk.out_h, bias[number]
        y, x = j * walk.out_sy + phase // walk.out_sx, i * walk.out_sx + phase % walk.out_sx
        if inside and y + (rows - 1) * walk.out_sy < walk.out_h and x + (columns - 1) * walk.out_sx < walk.out_w:
            at = ((base + y) * walk.out_w + x) * 16
            _gather(
                walk.chunk, values, offsets, start, stop, scratch, x_base, x_row, out, at, row, step, segment, first
            )
            continue
        high, wide = min(rows, walk.rows - j), min(columns, walk.columns - i)
        if segment > 0:
            scatter(walk, small, out, True, base, y, x, high, wide, columns)
        _gather(walk.chunk, values, offsets, start, stop, scratch, x_base, x_row, small, 0, line, 16, segment, first)
        scatter(walk, small, out, False, base, y, x, high, wide, columns)


@njit(nogil=True, fastmath=FAST, _nrt=False)
def _follow(walk, channels, block, top, bottom, lanes, out, moments, sums, after):
    """What follows a tile of the output while it is in the cache."""
    phases = walk.out_sy * walk.out_sx
    high, low = top * walk.out_sy, min(walk.out_h, bottom * walk.out_sy)
    for number in range(channels[0] // phases, channels[1] // phases):
        base = (block * walk.outputs + number) * walk.out_h
        lo, hi = (base + high) * walk.out_w * 16, (base + low) * walk.out_w * 16
        if moments.size > 0:
            measure(out[lo:hi], lanes, moments[number])
        if after.active:
            finish(out, lo, hi, number, after, sums[number])


@njit(nogil=True, inline="always", _nrt=False)
def _work(walk, blocks, channels, part, parts):
    """A part's items [block, tile of rows] and output channels (of all phases): where items are few, all of them."""
    count, phases = blocks * walk.tiles, walk.out_sy * walk.out_sx
    if count >= parts:
        return share(count, part, parts), (0, channels)
    first, last = share(channels // phases, part, parts)
    return (0, count), (first * phases, last * phases)


@njit(nogil=True, fastmath=FAST, _nrt=False)
def _convolve(part, parts, walk, blocks, lanes, source, weights, buffers, measured, after):
    """Out = the convolution of a source."""
    s, t, two, a, b, c, relu = source
    out, scratches, smalls = buffers
    scratch, moments, sums = scratches[part], measured[part], after.sums[part]
    own = out, scratch, smalls[part]
    items, channels = _work(walk, blocks, weights[2].shape[0], part, parts)
    rows, columns = _ROWS[walk.chunk], _COLUMNS[walk.chunk]
    segments = weights[2].shape[1] - 1
    for item in range(items[0], items[1]):
        block, top = item // walk.tiles, item % walk.tiles * walk.tile
        bottom = min(top + walk.tile, walk.rows)
        valid = lanes if block == blocks - 1 else 16
        for group in range(0, segments, walk.together):
            first = group * walk.segment
            last = min(first + walk.together * walk.segment, walk.channels)
            fill(walk, scratch, block, top, first, last, s, t, two, a, b, c, relu, valid)
            for j in range(top, bottom, rows):
                for i in range(0, walk.columns, columns):
                    x_base = ((j - top) * walk.scratch_w + i) * 16
                    inside = j + rows <= bottom and i + columns <= walk.columns
                    for segment in range(group, min(group + walk.together, segments)):
                        _chunk(walk, channels, segment, block, j, i, x_base, inside, weights, own)
        _follow(walk, channels, block, top, bottom, valid, out, moments, sums, after)


@njit(nogil=True, fastmath=FAST, _nrt=False)
def _products(walk, slopes, channels, segment, j, i, offsets, starts, sums, scratch, slope):
    """One chunk of every output channel times what its kept weights of one segment read."""
    x_base, x_row = (j * walk.scratch_w + i) * 16, walk.scratch_w * 16
    y_row = slopes.scratch_w * 16
    for channel in range(channels[0], channels[1]):
        start, stop = np.int64(starts[channel, segment]), np.int64(starts[channel, segment + 1])
        if start < stop:
            base = (((channel - channels[0]) * slopes.scratch_h + j) * slopes.scratch_w + i) * 16
            _dots(walk.chunk, sums, offsets, start, stop, scratch, x_base, x_row, slope, base, y_row)


@njit(nogil=True, fastmath=FAST, _nrt=False)
def _correlate(part, parts, walk, slopes, blocks, lanes, source, given, offsets, starts, all_sums, all_bias, buffers):
    """Sums += the weight gradient, and bias += the bias gradient."""
    s, a, c, relu = source
    g, t, two, ga, gb, gc = given
    scratch, slope = buffers[0][part], buffers[1][part]
    sums, bias = all_sums[part], all_bias[part]
    items, channels = _work(walk, blocks, starts.shape[0], part, parts)
    rows, columns = _ROWS[walk.chunk], _COLUMNS[walk.chunk]
    segments = starts.shape[1] - 1
    for item in range(items[0], items[1]):
        block, top = item // walk.tiles, item % walk.tiles * walk.tile
        bottom = min(top + walk.tile, walk.rows)
        valid = lanes if block == blocks - 1 else 16
        fill(slopes, slope, block, top, channels[0], channels[1], g, t, two, ga, gb, gc, False, valid)
        if bias.size > 0:
            _bias(slopes, slope, channels[0], channels[1], bottom - top, bias)
        for group in range(0, segments, walk.together):
            first = group * walk.segment
            last = min(first + walk.together * walk.segment, walk.channels)
            fill(walk, scratch, block, top, first, last, s, s, False, a, a, c, relu, valid)
            for j in range(0, bottom - top, rows):
                for i in range(0, walk.columns, columns):
                    for segment in range(group, min(group + walk.together, segments)):
                        _products(walk, slopes, channels, segment, j, i, offsets, starts, sums, scratch, slope)


@njit(nogil=True, fastmath=FAST, _nrt=False)
def _bias(slopes, slope, first, last, rows, bias):
    """The bias' gradient: the sum of the output's over the first `rows` rows of a tile."""
    count = rows * slopes.scratch_w * 16
    for channel in range(first, last):
        base = (channel - first) * slopes.scratch_h * slopes.scratch_w * 16
        run = slope[base : base + count]
        total = np.float32(0)
        for i in range(count):
            total += run[i]
        bias[channel] += total


@kept_njit(nogil=True, _nrt=False)
def convolve(openmp, part, parts, arguments):
    """See `_convolve`; moments and sums are [parts, channels, 3], scratch [parts, floats]."""
    launch(_convolve, openmp, part, parts, arguments)


@kept_njit(nogil=True, _nrt=False)
def correlate(openmp, part, parts, arguments):
    """See `_correlate`; sums are [parts, nnz], the bias' [parts, channels], scratch [parts, floats]."""
    launch(_correlate, openmp, part, parts, arguments)
