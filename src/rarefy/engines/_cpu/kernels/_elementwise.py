"""Kernels of batch norm, activations, pooling, and the conversion to blocks."""

# mypy: ignore-errors

from __future__ import annotations

import numpy as np

from rarefy.engines._cpu.kernels._numba import cached_njit, inner_njit
from rarefy.engines._cpu.kernels._parallel_for import omp_parallel_for, split_range
from rarefy.engines._cpu.kernels._tiles import FAST, NO_RELU, STREAMED, affine, apply_epilogue, update_moments
from rarefy.engines._cpu.kernels._vector_ops import (
    ADD_INTO,
    MAX_INTO,
    PAST_AFFINE_TWO,
    PAST_AFFINE_TWO_RELU,
    clear,
    move,
    stream,
    transpose,
    unpool_scatter,
)


@inner_njit(fastmath=FAST)
def _apply(part, parts, planes, channels, size, out, s, t, two, a, b, c, relu):
    """Computes out = a * s + b * t + c per channel, then ReLU, over planes [block, channel] of `size` floats."""
    items = split_range(planes, part, parts)
    for item in range(items[0], items[1]):
        at, count, p, q, r = item * size, size // 16, a[item % channels], b[item % channels], c[item % channels]
        if two and relu.active and out.size >= STREAMED:
            PAST_AFFINE_TWO_RELU(out, at, s, t, at, 1, count, p, q, r, relu.limit, 0)
        elif two and out.size >= STREAMED:
            PAST_AFFINE_TWO(out, at, s, t, at, 1, count, p, q, r, relu.limit, 0)
        else:
            affine(out, at, s, t, at, 1, count, two, p, q, r, relu, 0)


@inner_njit(fastmath=FAST)
def _compute_moments(part, parts, planes, channels, blocks, lanes, size, s, moments):
    """Computes the moments of a whole blocked tensor for batch norm, [parts, channels, 3]."""
    items = split_range(planes, part, parts)
    for item in range(items[0], items[1]):
        valid = lanes if item // channels == blocks - 1 else 16
        update_moments(s[item * size : (item + 1) * size], valid, moments[part, item % channels])


@inner_njit(fastmath=FAST)
def _apply_epilogue_to_map(part, parts, planes, channels, size, out, gradient, epilogue):
    """Computes out = the gradient before the ReLU, and its sums for batch norm."""
    items = split_range(planes, part, parts)
    for item in range(items[0], items[1]):
        at, channel, ahead = item * size, item % channels, np.int64(0)
        apply_epilogue(out, at, gradient, at, at, size // 16, channel, epilogue, epilogue.sums[part, channel], ahead)


@cached_njit(_nrt=False)
def norm_forward(moments, scale, shift, epsilon, factor, running_mean, running_var, batch, track, result):
    """Computes [mean, 1 / deviation, a, c] of ``a * y + c``, from moments of all threads [threads, channels, 3]."""
    for channel in range(result.shape[1]):
        if batch:
            count, mean, squares = moments[0, channel]
            for thread in range(1, moments.shape[0]):
                other_count, other_mean, other_squares = moments[thread, channel]
                if other_count == 0:
                    continue
                delta = other_mean - mean
                squares += other_squares + delta * delta * count * other_count / (count + other_count)
                mean += delta * other_count / (count + other_count)
                count += other_count
            squares = max(squares, 0.0)
            variance = squares / count
            if track:
                running_mean[channel] += factor * (mean - running_mean[channel])
                running_var[channel] += factor * (squares / (count - 1) - running_var[channel])
        else:
            mean, variance = np.float64(running_mean[channel]), np.float64(running_var[channel])
        inverse = 1 / np.sqrt(variance + epsilon)
        a = scale[channel] * inverse
        result[0, channel], result[1, channel] = mean, inverse
        result[2, channel], result[3, channel] = a, shift[channel] - mean * a


@cached_njit(_nrt=False)
def norm_backward(sums, which, count, scale, forward, batch, result):
    """Computes gradients of scale and shift, and A, B, C of the input gradient ``A * g + B * y + C``."""
    for channel in range(result.shape[1]):
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


@inner_njit()
def _clip_range(start, step, size, count):
    """Returns the first and last + 1 of `count` positions start, start + step, ... in [0, size)."""
    left = min(count, max(0, -(start // step)))
    return left, max(left, min(count, (size - 1 - start) // step + 1))


@inner_njit(fastmath=FAST)
def _pool(part, parts, planes, channels, window, sizes, s, a, c, relu, out, largest, buffers):
    """Pools ``relu(a * s + c)``: the largest of each window, or the mean."""
    items, plane = split_range(planes, part, parts), buffers[part]
    ky, kx, sy, sx, py, px = window
    high, wide, out_h, out_w = sizes
    start = np.float32(-np.inf if largest else 0)
    for item in range(items[0], items[1]):
        channel, size = item % channels, high * wide
        affine(plane, 0, s, s, item * size * 16, 1, size, False, a[channel], a[channel], c[channel], relu, 0)
        out[item * out_h * out_w * 16 : (item + 1) * out_h * out_w * 16] = start
        for y in range(out_h):
            for row in range(max(0, y * sy - py), min(high, y * sy - py + ky)):
                for column in range(kx):
                    left, right = _clip_range(column - px, sx, wide, out_w)
                    at = ((item * out_h + y) * out_w + left) * 16
                    source = (row * wide + column - px + left * sx) * 16
                    if largest:
                        MAX_INTO(out, at, plane, source, sx, right - left)
                    else:
                        ADD_INTO(out, at, plane, source, sx, right - left)
        if not largest:
            for i in range(item * out_h * out_w * 16, (item + 1) * out_h * out_w * 16):
                out[i] /= np.float32(ky * kx)


@inner_njit(fastmath=FAST)
def _unpool(part, parts, planes, channels, window, sizes, s, a, c, relu, out, g, gradient, largest, buffers, epilogue):
    """Computes the input gradient of `pool` with output `out`: to the first largest of a window, or to all.

    The epilogue is applied to each plane while it is in the cache.
    """
    items = split_range(planes, part, parts)
    plane, rest, plane_grad = buffers[0][part], buffers[1][part], buffers[2][part]
    ky, kx, sy, sx, py, px = window
    high, wide, out_h, out_w = sizes
    for item in range(items[0], items[1]):
        channel, size = item % channels, high * wide
        affine(plane, 0, s, s, item * size * 16, 1, size, False, a[channel], a[channel], c[channel], relu, 0)
        clear(plane_grad, 0, size)
        for y in range(out_h):
            line = (item * out_h + y) * out_w * 16
            move(rest, 0, 1, g, line, 1, out_w)
            for row in range(max(0, y * sy - py), min(high, y * sy - py + ky)):
                for column in range(kx):
                    left, right = _clip_range(column - px, sx, wide, out_w)
                    source = (row * wide + column - px + left * sx) * 16
                    if largest:
                        at = line + left * 16
                        unpool_scatter(plane_grad, plane, source, sx, out, at, rest, left * 16, right - left)
                    else:
                        for x in range(right - left):
                            ADD_INTO(plane_grad, source + x * sx * 16, rest, (left + x) * 16, 1, 1)
        if not largest:
            scale, zero = np.float32(1) / np.float32(ky * kx), np.float32(0)
            affine(plane_grad, 0, plane_grad, plane_grad, 0, 1, size, False, scale, scale, zero, NO_RELU, 0)
        at = item * size * 16
        if epilogue.active:
            sums, start = epilogue.sums[part, channel], np.int64(0)  # a literal 0 would compile it once more
            apply_epilogue(plane_grad, start, plane_grad, start, at, size, channel, epilogue, sums, start)
        if gradient.size >= STREAMED:
            stream(gradient, at, 1, plane_grad, 0, 1, size)
        else:
            move(gradient, at, 1, plane_grad, 0, 1, size)


@inner_njit()
def _pack(part, parts, units, adjacent, together, images, columns, tensor, out, out_unit, out_column, back):
    """Copies a tensor [images, together, columns] to blocks; unit [block, index] starts at `unit * out_unit`.

    Its column j is a vector of 16 images, ``j * out_column`` floats further on. `back`: from blocks to the tensor.
    `adjacent`: units are next to each other, so all get 16 columns, then the next 16, and writes have no gaps.
    """
    row, (first, last) = together * columns, split_range(units, part, parts)
    step = max(1, last - first) if adjacent and not back else 1
    for group in range(first, last, step):
        for j in range(0, columns, 16):
            for unit in range(group, group + step):
                block = unit // together
                start, base = block * 16 * row + unit % together * columns, unit * out_unit
                lanes = max(0, min(16, images - block * 16))
                if lanes == 16 and j + 16 <= columns:
                    if back:
                        transpose(out, base + j * out_column, out_column, tensor, start + j, row)
                    else:
                        transpose(tensor, start + j, row, out, base + j * out_column, out_column)
                else:
                    _pack_few(min(16, columns - j), lanes, row, tensor, start + j, out, base, out_column, j, back)


@inner_njit()
def _pack_few(count, lanes, row, tensor, start, out, base, out_column, first, back):
    """Does the work of `_pack` for fewer than 16 columns or images."""
    for j in range(count):
        at = base + (first + j) * out_column
        for lane in range(lanes):
            if back:
                tensor[start + lane * row + j] = out[at + lane]
            else:
                out[at + lane] = tensor[start + lane * row + j]
        if not back:
            out[at + lanes : at + 16] = 0


@cached_njit(_nrt=False)
def apply(openmp, part, parts, arguments):
    """Runs `_apply` in threads."""
    omp_parallel_for(_apply, openmp, part, parts, arguments)


@cached_njit(_nrt=False)
def compute_moments(openmp, part, parts, arguments):
    """Runs `_compute_moments` in threads."""
    omp_parallel_for(_compute_moments, openmp, part, parts, arguments)


@cached_njit(_nrt=False)
def apply_epilogue_to_map(openmp, part, parts, arguments):
    """Runs `_apply_epilogue_to_map` in threads."""
    omp_parallel_for(_apply_epilogue_to_map, openmp, part, parts, arguments)


@cached_njit(_nrt=False)
def pool(openmp, part, parts, arguments):
    """Runs `_pool` in threads."""
    omp_parallel_for(_pool, openmp, part, parts, arguments)


@cached_njit(_nrt=False)
def unpool(openmp, part, parts, arguments):
    """Runs `_unpool` in threads."""
    omp_parallel_for(_unpool, openmp, part, parts, arguments)


@cached_njit(_nrt=False)
def pack(openmp, part, parts, arguments):
    """Runs `_pack` in threads."""
    omp_parallel_for(_pack, openmp, part, parts, arguments)
