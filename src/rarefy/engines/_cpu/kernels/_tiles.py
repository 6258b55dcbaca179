"""The smaller kernels that the two large ones are made of: tiles with a halo, batch norm's sums."""

# mypy: ignore-errors

from __future__ import annotations

import numpy as np
from numba import njit

from rarefy.engines._cpu.kernels._vector_ops import (
    AFFINE,
    AFFINE_RELU,
    AFFINE_TWO,
    AFFINE_TWO_RELU,
    MASKED_ADD_ONE,
    MASKED_ADD_TWO,
    MASKED_ONE,
    MASKED_TWO,
    clear,
    move,
)

FAST = {"reassoc", "contract", "nsz", "arcp"}  # not nnan: a NaN must come through


@njit(nogil=True, fastmath=FAST, inline="always", _nrt=False)
def affine(out, o, s, t, s_from, step, count, two, a, b, c, relu):
    """`count` vectors of out from float `o` on = a * s + b * t + c, then ReLU; s and t in steps of vectors."""
    if two and relu:
        AFFINE_TWO_RELU(out, o, s, t, s_from, step, count, a, b, c)
    elif two:
        AFFINE_TWO(out, o, s, t, s_from, step, count, a, b, c)
    elif relu:
        AFFINE_RELU(out, o, s, t, s_from, step, count, a, b, c)
    else:
        AFFINE(out, o, s, t, s_from, step, count, a, b, c)


@njit(nogil=True, fastmath=FAST, _nrt=False)
def fill(walk, scratch, block, row, first, last, s, t, two, a, b, c, relu, lanes):
    """A tile of source channels [first, last) with its halo into the scratch, from grid row `row` on."""
    place = 0
    for channel in range(first, last):
        base = (block * walk.channels + channel) * walk.height
        one, many, rest = a[channel], b[channel], c[channel]
        for phase_y in range(walk.phases_y):
            for phase_x in range(walk.phases_x):
                x0 = phase_x - walk.pad_x  # column of the first vector
                left = min(walk.scratch_w, max(0, -(x0 // walk.stride_x)))
                right = min(walk.scratch_w, max(left, (walk.width - 1 - x0) // walk.stride_x + 1))
                for j in range(walk.scratch_h):
                    y = (row + j) * walk.stride_y + phase_y - walk.pad_y
                    out, place = place, place + walk.scratch_w * 16
                    if y < 0 or y >= walk.height:
                        clear(scratch, out, walk.scratch_w)
                        continue
                    at = ((base + y) * walk.width + x0 + left * walk.stride_x) * 16
                    clear(scratch, out, left)
                    affine(scratch, out + left * 16, s, t, at, walk.stride_x, right - left, two, one, many, rest, relu)
                    clear(scratch, out + right * 16, walk.scratch_w - right)
    if lanes < 16:
        for i in range(place // 16):
            scratch[i * 16 + lanes : i * 16 + 16] = 0


@njit(nogil=True, fastmath=FAST, _nrt=False)
def scatter(walk, small, out, more, base, y, x, high, wide, columns):
    """Copies `high` x `wide` vectors of a chunk from a small buffer to the output; `more`: the other way."""
    high = min(high, (walk.out_h - 1 - y) // walk.out_sy + 1)
    wide = min(wide, (walk.out_w - 1 - x) // walk.out_sx + 1)
    for r in range(high):
        at, here = ((base + y + r * walk.out_sy) * walk.out_w + x) * 16, r * columns * 16
        if more:
            move(small, here, 1, out, at, walk.out_sx, wide)
        else:
            move(out, at, walk.out_sx, small, here, 1, wide)


@njit(nogil=True, fastmath=FAST, _nrt=False)
def measure(run, lanes, moments):
    """Adds a run of one channel to its (count, mean, sum of squared deviations); Chan's formula: nothing cancels."""
    total, count = np.float32(0), np.float64(run.size // 16 * lanes)
    if lanes == 16:
        for i in range(run.size):
            total += run[i]
        mean = np.float32(total / count)
        spread = np.float32(0)
        for i in range(run.size):
            spread += (run[i] - mean) ** 2
    else:
        for i in range(0, run.size, 16):
            for j in range(i, i + lanes):
                total += run[j]
        mean = np.float32(total / count)
        spread = np.float32(0)
        for i in range(0, run.size, 16):
            for j in range(i, i + lanes):
                spread += (run[j] - mean) ** 2
    # the deviations from the rounded mean do not quite add up to 0: the exact mean is total / count
    whole = moments[0] + count
    shift = total / count - moments[1]
    moments[2] += spread - count * (total / count - mean) ** 2 + shift * shift * moments[0] * count / whole
    moments[1] += shift * count / whole
    moments[0] = whole


@njit(nogil=True, fastmath=FAST, _nrt=False)
def finish(run, lo, hi, channel, after, sums):
    """Turns a run of an activation's gradient into that before its ReLU, and takes batch norm's two sums of it."""
    add, source, first, second = after.add, after.source, after.first, after.second
    a, c = (after.a[channel], after.c[channel]) if after.relu else (np.float32(0), np.float32(1))
    mean = after.first_mean[channel] if after.norms > 0 else np.float32(0)
    other = after.second_mean[channel] if after.norms > 1 else np.float32(0)
    count = (hi - lo) // 16
    if after.norms > 1 and after.more:
        MASKED_ADD_TWO(run, lo, count, add, source, a, c, first, mean, second, other, sums)
    elif after.norms > 1:
        MASKED_TWO(run, lo, count, add, source, a, c, first, mean, second, other, sums)
    elif after.more:
        MASKED_ADD_ONE(run, lo, count, add, source, a, c, first, mean, second, other, sums)
    else:
        MASKED_ONE(run, lo, count, add, source, a, c, first, mean, second, other, sums)
