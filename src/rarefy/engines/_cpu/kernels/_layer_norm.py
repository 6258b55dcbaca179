"""Kernels of layer norm over the channels of each pixel."""

# mypy: ignore-errors

from __future__ import annotations

import numpy as np

from rarefy.engines._cpu.kernels._numba import cached_njit, inner_njit
from rarefy.engines._cpu.kernels._parallel_for import omp_parallel_for, split_range
from rarefy.engines._cpu.kernels._tiles import FAST

TILE = 256
"""Floats of a channel that are computed at a time: all channels of them stay in the second cache."""


@inner_njit(fastmath=FAST)
def _normalize(part, parts, sizes, x, scale, shift, epsilon, out, means, inverses):
    """Computes out = (x - mean) * inverse * scale + shift; means and inverse deviations are [block, pixel, image]."""
    blocks, channels, plane = sizes
    tiles, number = -(-plane // TILE), np.float32(channels)
    items = split_range(blocks * tiles, part, parts)
    for item in range(items[0], items[1]):
        block, low = item // tiles, item % tiles * TILE
        count, first = min(TILE, plane - low), block * channels * plane + low
        at = block * plane + low
        mean, inverse = means[at : at + count], inverses[at : at + count]
        mean[:] = 0
        inverse[:] = 0
        for channel in range(channels):
            run = x[first + channel * plane : first + channel * plane + count]
            for i in range(count):
                mean[i] += run[i]
        for i in range(count):
            mean[i] /= number
        for channel in range(channels):
            run = x[first + channel * plane : first + channel * plane + count]
            for i in range(count):
                inverse[i] += (run[i] - mean[i]) ** 2
        for i in range(count):
            inverse[i] = np.float32(1) / np.sqrt(inverse[i] / number + epsilon)
        for channel in range(channels):
            run = x[first + channel * plane : first + channel * plane + count]
            result, factor, bias = out[first + channel * plane :], scale[channel], shift[channel]
            for i in range(count):
                result[i] = (run[i] - mean[i]) * inverse[i] * factor + bias


@inner_njit(fastmath=FAST)
def _normalize_backward(part, parts, sizes, x, scale, means, inverses, grad, out, sums, scratch):
    """Computes out = the gradient of x, and adds those of scale and shift to sums [parts, channels, 2]."""
    blocks, channels, plane = sizes
    tiles, number = -(-plane // TILE), np.float32(channels)
    total, product = scratch[part, :TILE], scratch[part, TILE : 2 * TILE]
    items = split_range(blocks * tiles, part, parts)
    for item in range(items[0], items[1]):
        block, low = item // tiles, item % tiles * TILE
        count, first = min(TILE, plane - low), block * channels * plane + low
        at = block * plane + low
        mean, inverse = means[at : at + count], inverses[at : at + count]
        total[:] = 0
        product[:] = 0
        for channel in range(channels):
            start, factor = first + channel * plane, scale[channel]
            run, g = x[start : start + count], grad[start : start + count]
            of_scale, of_shift = np.float32(0), np.float32(0)
            for i in range(count):
                shifted = g[i] * (run[i] - mean[i]) * inverse[i]
                total[i] += g[i] * factor
                product[i] += shifted * factor
                of_scale += shifted
                of_shift += g[i]
            sums[part, channel, 0] += of_scale
            sums[part, channel, 1] += of_shift
        for i in range(count):
            total[i] /= number
            product[i] /= number
        for channel in range(channels):
            start, factor = first + channel * plane, scale[channel]
            run, g, result = x[start : start + count], grad[start : start + count], out[start : start + count]
            for i in range(count):
                normed = (run[i] - mean[i]) * inverse[i]
                result[i] = inverse[i] * (g[i] * factor - total[i] - normed * product[i])


@cached_njit(_nrt=False, error_model="numpy")
def normalize(openmp, part, parts, arguments):
    """Runs `_normalize` in threads."""
    omp_parallel_for(_normalize, openmp, part, parts, arguments)


@cached_njit(_nrt=False, error_model="numpy")
def normalize_backward(openmp, part, parts, arguments):
    """Runs `_normalize_backward` in threads."""
    omp_parallel_for(_normalize_backward, openmp, part, parts, arguments)
