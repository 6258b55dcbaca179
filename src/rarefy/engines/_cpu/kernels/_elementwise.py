"""Numba kernels of what lies between convolutions: batch norm's numbers, activations, pooling."""

# mypy: ignore-errors

from __future__ import annotations

import numpy as np
from numba import njit

from rarefy.engines._cpu.kernels._compile import kept_njit
from rarefy.engines._cpu.kernels._team import launch, share
from rarefy.engines._cpu.kernels._tiles import FAST, affine, finish, measure
from rarefy.engines._cpu.kernels._vector_ops import LARGER, PLUS, clear, move, spread, transpose


@njit(nogil=True, fastmath=FAST, _nrt=False)
def _apply(part, parts, planes, channels, size, out, s, t, two, a, b, c, relu):
    """Out = a * s + b * t + c a channel, then ReLU, over planes [block, channel] of `size` floats."""
    items = share(planes, part, parts)
    for item in range(items[0], items[1]):
        channel = item % channels
        affine(out, item * size, s, t, item * size, 1, size // 16, two, a[channel], b[channel], c[channel], relu)


@njit(nogil=True, fastmath=FAST, _nrt=False)
def _moments_of(part, parts, planes, channels, blocks, lanes, size, s, moments):
    """Batch norm's moments of a whole map, [parts, channels, 3]."""
    items = share(planes, part, parts)
    for item in range(items[0], items[1]):
        valid = lanes if item // channels == blocks - 1 else 16
        measure(s[item * size : (item + 1) * size], valid, moments[part, item % channels])


@njit(nogil=True, fastmath=FAST, _nrt=False)
def _finish_all(part, parts, planes, channels, size, out, gradient, after):
    """Out = an activation's gradient before its ReLU, with batch norm's sums."""
    items = share(planes, part, parts)
    for item in range(items[0], items[1]):
        lo, hi = item * size, (item + 1) * size
        move(out, lo, 1, gradient, lo, 1, size // 16)
        finish(out, lo, hi, item % channels, after, after.sums[part, item % channels])


@kept_njit(nogil=True)
def norm_forward(moments, scale, shift, epsilon, factor, running_mean, running_var, batch, track):
    """(mean, 1 / deviation, a, c) of ``a * y + c``; moments of all threads [threads, channels, 3] come together."""
    channels = running_mean.size if not batch else moments.shape[1]
    result = np.empty((4, channels), np.float32)
    for channel in range(channels):
        if batch:
            count, mean, spread = moments[0, channel]
            for thread in range(1, moments.shape[0]):
                more, other, deviations = moments[thread, channel]
                if more == 0:
                    continue
                delta = other - mean
                spread += deviations + delta * delta * count * more / (count + more)
                mean += delta * more / (count + more)
                count += more
            spread = max(spread, 0.0)
            variance = spread / count
            if track:
                running_mean[channel] += factor * (mean - running_mean[channel])
                running_var[channel] += factor * (spread / (count - 1) - running_var[channel])
        else:
            mean, variance = np.float64(running_mean[channel]), np.float64(running_var[channel])
        inverse = 1 / np.sqrt(variance + epsilon)
        a = scale[channel] * inverse
        result[0, channel], result[1, channel] = mean, inverse
        result[2, channel], result[3, channel] = a, shift[channel] - mean * a
    return result


@kept_njit(nogil=True)
def norm_backward(sums, which, count, scale, forward, batch):
    """(scale's gradient, shift's, and A, B, C of ``A * g + B * y + C``, batch norm's input gradient)."""
    channels = sums.shape[1]
    result = np.empty((5, channels), np.float32)
    for channel in range(channels):
        total, product = 0.0, 0.0
        for thread in range(sums.shape[0]):
            total += sums[thread, channel, 0]
            product += sums[thread, channel, which]
        mean, inverse = np.float64(forward[0, channel]), np.float64(forward[1, channel])
        a = scale[channel] * inverse
        b = -a * inverse * inverse * product / count if batch else 0.0
        result[0, channel], result[1, channel] = product * inverse, total
        result[2, channel], result[3, channel] = a, b
        result[4, channel] = -a * total / count - b * mean if batch else 0.0
    return result


@njit(nogil=True, _nrt=False)
def _valid(start, step, size, count):
    """The first and last + 1 of `count` places start, start + step, ... that lie in [0, size)."""
    left = min(count, max(0, -(start // step)))
    return left, max(left, min(count, (size - 1 - start) // step + 1))


@njit(nogil=True, fastmath=FAST, _nrt=False)
def _pool(part, parts, planes, channels, window, sizes, s, a, c, relu, out, largest, buffers):
    """Pools ``relu(a * s + c)``: the largest of each window, or the mean."""
    items, plane = share(planes, part, parts), buffers[part]
    ky, kx, sy, sx, py, px = window
    high, wide, out_h, out_w = sizes
    start = np.float32(-np.inf if largest else 0)
    for item in range(items[0], items[1]):
        channel, size = item % channels, high * wide
        affine(plane, 0, s, s, item * size * 16, 1, size, False, a[channel], a[channel], c[channel], relu)
        out[item * out_h * out_w * 16 : (item + 1) * out_h * out_w * 16] = start
        for y in range(out_h):
            for row in range(max(0, y * sy - py), min(high, y * sy - py + ky)):
                for column in range(kx):
                    left, right = _valid(column - px, sx, wide, out_w)
                    at = ((item * out_h + y) * out_w + left) * 16
                    there = (row * wide + column - px + left * sx) * 16
                    if largest:
                        LARGER(out, at, plane, there, sx, right - left)
                    else:
                        PLUS(out, at, plane, there, sx, right - left)
        if not largest:
            for i in range(item * out_h * out_w * 16, (item + 1) * out_h * out_w * 16):
                out[i] /= np.float32(ky * kx)


@njit(nogil=True, fastmath=FAST, _nrt=False)
def _unpool(part, parts, planes, channels, window, sizes, s, a, c, relu, out, g, gradient, largest, buffers):
    """The input's gradient of `pool`, whose output is `out`: to the first largest of a window, or to all."""
    items, plane, rest, slope = share(planes, part, parts), buffers[0][part], buffers[1][part], buffers[2][part]
    ky, kx, sy, sx, py, px = window
    high, wide, out_h, out_w = sizes
    for item in range(items[0], items[1]):
        channel, size = item % channels, high * wide
        affine(plane, 0, s, s, item * size * 16, 1, size, False, a[channel], a[channel], c[channel], relu)
        clear(slope, 0, size)
        for y in range(out_h):
            line = (item * out_h + y) * out_w * 16
            move(rest, 0, 1, g, line, 1, out_w)
            for row in range(max(0, y * sy - py), min(high, y * sy - py + ky)):
                for column in range(kx):
                    left, right = _valid(column - px, sx, wide, out_w)
                    there = (row * wide + column - px + left * sx) * 16
                    if largest:
                        spread(slope, plane, there, sx, out, line + left * 16, rest, left * 16, right - left)
                    else:
                        for x in range(right - left):
                            PLUS(slope, there + x * sx * 16, rest, (left + x) * 16, 1, 1)
        scale = np.float32(1) if largest else np.float32(1) / np.float32(ky * kx)
        affine(gradient, item * size * 16, slope, slope, 0, 1, size, False, scale, scale, np.float32(0), False)


@njit(nogil=True, _nrt=False)
def _pack(part, parts, units, beside, together, images, columns, tensor, out, out_unit, out_column, back):
    """A tensor [images, together, columns] to blocks: unit [block, one of together] starts at `unit * out_unit`.

    Its column j is a vector of 16 images at ``j * out_column`` floats from there. `back`: from blocks to the tensor.
    `beside`: units stand next to each other: all of them get 16 columns, then the next 16; writes have no gaps then.
    """
    row, (first, last) = together * columns, share(units, part, parts)
    step = max(1, last - first) if beside and not back else 1
    for group in range(first, last, step):
        for j in range(0, columns, 16):
            for unit in range(group, group + step):
                block = unit // together
                start, place = block * 16 * row + unit % together * columns, unit * out_unit
                lanes = max(0, min(16, images - block * 16))
                if lanes == 16 and j + 16 <= columns:
                    if back:
                        transpose(out, place + j * out_column, out_column, tensor, start + j, row)
                    else:
                        transpose(tensor, start + j, row, out, place + j * out_column, out_column)
                else:
                    _pack_few(min(16, columns - j), lanes, row, tensor, start + j, out, place, out_column, j, back)


@njit(nogil=True, _nrt=False)
def _pack_few(count, lanes, row, tensor, start, out, place, out_column, first, back):
    """`_pack` of fewer than 16 columns or images."""
    for j in range(count):
        at = place + (first + j) * out_column
        for lane in range(lanes):
            if back:
                tensor[start + lane * row + j] = out[at + lane]
            else:
                out[at + lane] = tensor[start + lane * row + j]
        if not back:
            out[at + lanes : at + 16] = 0


@kept_njit(nogil=True, _nrt=False)
def apply(openmp, part, parts, arguments):
    """See `_apply`."""
    launch(_apply, openmp, part, parts, arguments)


@kept_njit(nogil=True, _nrt=False)
def moments_of(openmp, part, parts, arguments):
    """See `_moments_of`."""
    launch(_moments_of, openmp, part, parts, arguments)


@kept_njit(nogil=True, _nrt=False)
def finish_all(openmp, part, parts, arguments):
    """See `_finish_all`."""
    launch(_finish_all, openmp, part, parts, arguments)


@kept_njit(nogil=True, _nrt=False)
def pool(openmp, part, parts, arguments):
    """See `_pool`."""
    launch(_pool, openmp, part, parts, arguments)


@kept_njit(nogil=True, _nrt=False)
def unpool(openmp, part, parts, arguments):
    """See `_unpool`."""
    launch(_unpool, openmp, part, parts, arguments)


@kept_njit(nogil=True, _nrt=False)
def pack(openmp, part, parts, arguments):
    """See `_pack`."""
    launch(_pack, openmp, part, parts, arguments)
