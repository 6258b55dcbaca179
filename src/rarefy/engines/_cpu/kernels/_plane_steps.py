"""Kernels over planes: each computes one item (some vectors of some channels) of one step of a compiled network."""

# mypy: ignore-errors

from __future__ import annotations

import numpy as np

from rarefy.engines._cpu.kernels._numba import inner_njit
from rarefy.engines._cpu.kernels._parallel_for import split_range
from rarefy.engines._cpu.kernels._plane_columns import Kind, Step
from rarefy.engines._cpu.kernels._plane_copies import (
    copy_features,
    copy_images,
    flatten_planes,
    mean_planes,
    split_planes,
)
from rarefy.engines._cpu.kernels._plane_dots import DOT_GROUP, dot
from rarefy.engines._cpu.kernels._plane_loops import MAX_VECTORS, MAXIMUM, WEIGHTED_SUM
from rarefy.engines._cpu.kernels._tiles import FAST

_KIND = int(Step.KIND)
_ITEMS = int(Step.ITEMS)
_CHUNKS = int(Step.CHUNKS)
_VECTORS = int(Step.VECTORS)
_CHANNELS = int(Step.CHANNELS)
_STARTS = int(Step.STARTS)
_BIAS = int(Step.BIAS)
_MASK = int(Step.MASK)
_OTHER = int(Step.OTHER)
_SOURCE = int(Step.SOURCE)
_SOURCE_PLANE = int(Step.SOURCE_PLANE)
_SOURCE_PITCH = int(Step.SOURCE_PITCH)
_SOURCE_ROWS = int(Step.SOURCE_ROWS)
_WIDTH = int(Step.SOURCE_WIDTH)
_OUT = int(Step.OUT)
_OUT_PLANE = int(Step.OUT_PLANE)
_OUT_LEAD = int(Step.OUT_LEAD)
_OUT_PITCH = int(Step.OUT_PITCH)
_OUT_ROWS = int(Step.OUT_ROWS)
_OUT_WIDTH = int(Step.OUT_WIDTH)
_SIZE = int(Step.SIZE)
_VALUES = int(Step.VALUES)
_KERNEL = int(Step.KERNEL)
_LOAD = int(Kind.LOAD)
_SUM = int(Kind.SUM)
_DOT = int(Kind.DOT)
_MAXIMUM = int(Kind.MAXIMUM)
_SPLIT = int(Kind.SPLIT)
_MEAN = int(Kind.MEAN)
_FLATTEN = int(Kind.FLATTEN)
_STORE = int(Kind.STORE)


def _make_sum_channels(size, weighted_sum):
    @inner_njit(fastmath=FAST)
    def sum_channels(step, first, last, v, arena, weights, limits, masks):
        """Computes the vectors from number v on, of groups of channels [first, last), as weighted sums."""
        values, offsets, starts, biases, _ = weights
        plane = step[_OUT_PLANE]
        for group in range(first, last):
            shift = group * size * plane + step[_OUT_LEAD] + 16 * v
            entry, other = step[_STARTS] + group, step[_OTHER]
            weighted_sum(
                values, step[_VALUES], offsets, np.int64(starts[entry]), np.int64(starts[entry + 1]),
                arena, step[_SOURCE] + 16 * v, step[_OUT] + shift, plane, biases, step[_BIAS] + group * size,
                other + shift if other >= 0 else np.int64(-1), limits[0], limits[1], masks, step[_MASK] + 16 * v,
            )  # fmt: skip

    return sum_channels


_KERNELS = sorted(WEIGHTED_SUM)
_SUMS = tuple(_make_sum_channels(kernel[0], WEIGHTED_SUM[kernel]) for kernel in _KERNELS)
FIRST_SUM = {size: _KERNELS.index((size, 1)) for size in MAX_VECTORS}
"""Channels of a group to the number of the kernel for one vector; those for more vectors follow."""


def _make_switch(functions):
    """Makes a function that calls function number `index`: Numba cannot index a tuple of functions of other types."""
    if len(functions) == 1:
        only = functions[0]

        @inner_njit(fastmath=FAST)
        def call_last(index, step, first, last, v, arena, weights, limits, masks):
            only(step, first, last, v, arena, weights, limits, masks)

        return call_last
    half = len(functions) // 2
    low, high = _make_switch(functions[:half]), _make_switch(functions[half:])

    @inner_njit(fastmath=FAST)
    def call(index, step, first, last, v, arena, weights, limits, masks):
        if index < half:
            low(index, step, first, last, v, arena, weights, limits, masks)
        else:
            high(index - half, step, first, last, v, arena, weights, limits, masks)

    return call


_call_sum = _make_switch(_SUMS)
_maximum_of_one, _maximum_of_four = MAXIMUM[1], MAXIMUM[4]


@inner_njit(fastmath=FAST)
def _sum(step, item, arena, weights, limits, masks):
    """Computes an item of a convolution, or of a linear layer for several images."""
    chunks = step[_CHUNKS]
    chunk, block = item % chunks, item // chunks
    v, end = split_range(step[_VECTORS], chunk, chunks)
    first, last = split_range(step[_CHANNELS], block, step[_ITEMS] // chunks)
    _call_sum(step[_KERNEL] + end - v - 1, step, first, last, v, arena, weights, limits, masks)


@inner_njit(fastmath=FAST)
def _dot(step, item, arena, weights, limits):
    """Computes an item of a linear layer for one image."""
    first, last = split_range(step[_CHANNELS], item, step[_ITEMS])
    if step[_SIZE] == 8:
        _dot_groups_of_eight(step, first, last, arena, weights, limits)
    elif step[_SIZE] == 4:
        _dot_groups_of_four(step, first, last, arena, weights, limits)
    else:
        _dot_channels(step, first, last, arena, weights, limits)


@inner_njit(fastmath=FAST)
def _dot_channels(step, first, last, arena, weights, limits):
    values, _, starts, biases, offsets = weights
    shift = step[_VALUES]
    for channel in range(first, last):
        entry = step[_STARTS] + channel
        start, stop = np.int64(starts[entry]), np.int64(starts[entry + 1])
        total = dot(values, shift, offsets, start, stop, arena, step[_SOURCE], biases[step[_BIAS] + channel])
        if step[_OTHER] >= 0:
            total += arena[step[_OTHER] + channel]
        if total < limits[0]:
            total = limits[0]
        if total > limits[1]:
            total = limits[1]
        arena[step[_OUT] + channel] = total


def _make_dot_groups(size):
    dot_group = DOT_GROUP[size]

    @inner_njit(fastmath=FAST)
    def dot_groups(step, first, last, arena, weights, limits):
        values, _, starts, biases, offsets = weights
        for group in range(first, last):
            entry, shift, other = step[_STARTS] + group, group * size, step[_OTHER]
            dot_group(
                values, step[_VALUES], offsets, np.int64(starts[entry]), np.int64(starts[entry + 1]), arena,
                step[_SOURCE], step[_OUT] + shift, biases, step[_BIAS] + shift,
                other + shift if other >= 0 else np.int64(-1), limits[0], limits[1],
            )  # fmt: skip

    return dot_groups


_dot_groups_of_four, _dot_groups_of_eight = (_make_dot_groups(size) for size in (4, 8))


@inner_njit(fastmath=FAST)
def _maximum(step, item, arena, weights, limits, masks):
    """Computes an item of a max pooling."""
    _, offsets, starts, _, _ = weights
    start, stop = np.int64(starts[step[_STARTS]]), np.int64(starts[step[_STARTS] + 1])
    first, last = split_range(step[_CHANNELS], item, step[_ITEMS])
    for channel in range(first, last):
        source = step[_SOURCE] + channel * step[_SOURCE_PLANE]
        out = step[_OUT] + channel * step[_OUT_PLANE] + step[_OUT_LEAD]
        v = np.int64(0)
        while v + 4 <= step[_VECTORS]:
            _maximum_of_four(
                offsets, start, stop, arena, source + 16 * v, out + 16 * v, limits[0], limits[1], masks,
                step[_MASK] + 16 * v,
            )  # fmt: skip
            v += 4
        while v < step[_VECTORS]:
            _maximum_of_one(
                offsets, start, stop, arena, source + 16 * v, out + 16 * v, limits[0], limits[1], masks,
                step[_MASK] + 16 * v,
            )  # fmt: skip
            v += 1


@inner_njit(fastmath=FAST)
def run_item(step, item, arena, weights, limits, masks, images):
    """Computes one item of a step. `images`: inputs, outputs, number of the first image, how many."""
    kind = step[_KIND]
    inputs, outputs, at, count = images
    if kind == _SUM:
        _sum(step, item, arena, weights, limits, masks)
    elif kind == _DOT:
        _dot(step, item, arena, weights, limits)
    elif kind == _MAXIMUM:
        _maximum(step, item, arena, weights, limits, masks)
    elif kind == _SPLIT:
        split_planes(step, item, arena, weights[1])
    elif kind == _MEAN:
        mean_planes(step, item, arena)
    elif kind == _FLATTEN:
        flatten_planes(step, item, arena)
    elif step[_OUT_WIDTH] == step[_OUT_ROWS] * step[_OUT_PITCH] == 1:
        copy_features(step, item, arena, inputs if kind == _LOAD else outputs, at, count, kind == _STORE)
    else:
        copy_images(step, item, arena, inputs if kind == _LOAD else outputs, at, count, kind == _STORE)
