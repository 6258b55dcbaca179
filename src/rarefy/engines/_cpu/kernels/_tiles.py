"""Kernels that the convolutions consist of: tiles with a halo, moments of batch norm, the epilogue of backward."""

# mypy: ignore-errors

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rarefy.engines._cpu.kernels._numba import inner_njit
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
)

STREAMED = 1 << 20  # floats of an output that is stored past the caches, which would not keep it
FAST = {"reassoc", "contract", "nsz", "arcp"}  # not nnan: a NaN must stay a NaN


class Rectifier(NamedTuple):
    """A ReLU or none: negative numbers become 0, and numbers above the limit the limit.

    Args:
        active: Whether there is one.
        limit: 6 for ReLU6; NaN where there is none, above which no number is.
    """

    active: bool
    limit: np.float32


NO_RELU, RELU = Rectifier(False, np.float32("nan")), Rectifier(True, np.float32("nan"))


@inner_njit(fastmath=FAST, inline="always")
def affine(out, o, s, t, s_from, step, count, two, a, b, c, relu, ahead):
    """Sets `count` vectors of out, from float `o` on, to a * s + b * t + c, then ReLU; `step` in vectors."""
    if two and relu.active:
        AFFINE_TWO_RELU(out, o, s, t, s_from, step, count, a, b, c, relu.limit, ahead)
    elif two:
        AFFINE_TWO(out, o, s, t, s_from, step, count, a, b, c, relu.limit, ahead)
    elif relu.active:
        AFFINE_RELU(out, o, s, t, s_from, step, count, a, b, c, relu.limit, ahead)
    else:
        AFFINE(out, o, s, t, s_from, step, count, a, b, c, relu.limit, ahead)


@inner_njit(fastmath=FAST)
def fill_tile(tiling, scratch, block, row, first, last, s, t, two, a, b, c, relu, lanes):
    """Copies a tile of source channels [first, last) with its halo into the scratch, from grid row `row` on."""
    index, ahead = 0, tiling.height * tiling.width * 16
    for channel in range(first, last):
        base = (block * tiling.channels + channel) * tiling.height
        p, q, r = a[channel], b[channel], c[channel]
        for phase_y in range(tiling.phases_y):
            for phase_x in range(tiling.phases_x):
                x0 = phase_x - tiling.pad_x  # column of the first vector
                left = min(tiling.scratch_w, max(0, -(x0 // tiling.stride_x)))
                right = min(tiling.scratch_w, max(left, (tiling.width - 1 - x0) // tiling.stride_x + 1))
                for j in range(tiling.scratch_h):
                    y = (row + j) * tiling.stride_y + phase_y - tiling.pad_y
                    out, index = index, index + tiling.scratch_w * 16
                    if y < 0 or y >= tiling.height:
                        clear(scratch, out, tiling.scratch_w)
                        continue
                    at = ((base + y) * tiling.width + x0 + left * tiling.stride_x) * 16
                    clear(scratch, out, left)
                    affine(scratch, out + left * 16, s, t, at, tiling.stride_x, right - left, two, p, q, r, relu, ahead)
                    clear(scratch, out + right * 16, tiling.scratch_w - right)
    if lanes < 16:
        for i in range(index // 16):
            scratch[i * 16 + lanes : i * 16 + 16] = 0


@inner_njit(fastmath=FAST)
def update_moments(run, lanes, moments):
    """Adds a run of one channel to its (count, mean, sum of squared deviations) by Chan's formula: no cancellation."""
    total, count = np.float32(0), np.float64(run.size // 16 * lanes)
    if lanes == 16:
        for i in range(run.size):
            total += run[i]
        mean = np.float32(total / count)
        squares = np.float32(0)
        for i in range(run.size):
            squares += (run[i] - mean) * (run[i] - mean)
    else:
        for i in range(0, run.size, 16):
            for j in range(i, i + lanes):
                total += run[j]
        mean = np.float32(total / count)
        squares = np.float32(0)
        for i in range(0, run.size, 16):
            for j in range(i, i + lanes):
                squares += (run[j] - mean) * (run[j] - mean)
    # deviations from the rounded mean do not add up to exactly 0: the exact mean is total / count
    total_count = moments[0] + count
    delta = total / count - moments[1]
    error = total / count - mean
    moments[2] += squares - count * error * error + delta * delta * moments[0] * count / total_count
    moments[1] += delta * count / total_count
    moments[0] = total_count


@inner_njit(fastmath=FAST)
def apply_epilogue(out, o, run, r, at, count, channel, epilogue, sums, ahead):
    """Sets `count` vectors of out to a gradient (run) with the mask of the ReLU, and adds up for batch norm.

    Index `at` is that of the maps which the epilogue reads, `ahead` the floats to their next channel.
    """
    add, source, first, second = epilogue.add, epilogue.source, epilogue.first, epilogue.second
    a, c = (epilogue.a[channel], epilogue.c[channel]) if epilogue.relu.active else (np.float32(0), np.float32(1))
    mean = epilogue.first_mean[channel] if epilogue.norms > 0 else np.float32(0)
    second_mean = epilogue.second_mean[channel] if epilogue.norms > 1 else np.float32(0)
    limit = epilogue.relu.limit
    if epilogue.norms > 1 and epilogue.more:
        MASKED_ADD_TWO(
            out, o, run, r, at, count, add, source, a, c, limit, first, mean, second, second_mean, sums, ahead
        )
    elif epilogue.norms > 1:
        MASKED_TWO(out, o, run, r, at, count, add, source, a, c, limit, first, mean, second, second_mean, sums, ahead)
    elif epilogue.more:
        MASKED_ADD_ONE(
            out, o, run, r, at, count, add, source, a, c, limit, first, mean, second, second_mean, sums, ahead
        )
    else:
        MASKED_ONE(out, o, run, r, at, count, add, source, a, c, limit, first, mean, second, second_mean, sums, ahead)
