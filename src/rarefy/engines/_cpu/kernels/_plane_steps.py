"""Kernels over planes: each computes one item (some vectors of some channels) of one step of a compiled network.

A step is a row of integers, see `Step`. Planes of a tensor are `plane` floats apart; an image's pixels begin `lead`
floats after the plane's begin, rows are `pitch` floats apart and images `rows` rows.
"""

# mypy: ignore-errors

from __future__ import annotations

import enum

import numpy as np

from rarefy.engines._cpu.kernels._numba import inner_njit
from rarefy.engines._cpu.kernels._parallel_for import split_range
from rarefy.engines._cpu.kernels._plane_loops import MAXIMUM, WEIGHTED_SUM, copy_every_second, copy_run, dot
from rarefy.engines._cpu.kernels._tiles import FAST
from rarefy.engines._cpu.kernels._vector_ops import transpose


class Kind(enum.IntEnum):
    """What a step does."""

    LOAD = 0
    SUM = 1
    DOT = 2
    MAXIMUM = 3
    SPLIT = 4
    MEAN = 5
    FLATTEN = 6
    STORE = 7


class Step(enum.IntEnum):
    """The columns of a step.

    A tensor is described by where it begins and by its geometry; of the source and of the output.
    """

    KIND = 0
    ITEMS = 1
    CHUNKS = 2  # an item is one of so many chunks of vectors, and one of ITEMS / CHUNKS blocks of channels
    VECTORS = 3
    CHANNELS = 4
    STARTS = 5  # first of the channels' entries in the array of starts; SPLIT: of the phases in the array of offsets
    BIAS = 6
    MASK = 7
    OTHER = 8  # begin of the tensor that is added, or -1
    SOURCE = 9
    SOURCE_PLANE = 10
    SOURCE_LEAD = 11
    SOURCE_PITCH = 12
    SOURCE_ROWS = 13
    SOURCE_HEIGHT = 14
    SOURCE_WIDTH = 15
    OUT = 16
    OUT_PLANE = 17
    OUT_LEAD = 18
    OUT_PITCH = 19
    OUT_ROWS = 20
    OUT_HEIGHT = 21
    OUT_WIDTH = 22
    STRIDE = 23
    IMAGES = 24


_KIND, _ITEMS, _CHUNKS, _VECTORS, _CHANNELS, _STARTS, _BIAS, _MASK, _OTHER = (int(Step(i)) for i in range(9))
_SOURCE, _SOURCE_PLANE, _SOURCE_LEAD, _SOURCE_PITCH, _SOURCE_ROWS, _HEIGHT, _WIDTH = (
    int(Step(i)) for i in range(9, 16)
)
_OUT, _OUT_PLANE, _OUT_LEAD, _OUT_PITCH, _OUT_ROWS, _OUT_HEIGHT, _OUT_WIDTH = (int(Step(i)) for i in range(16, 23))
_STRIDE, _IMAGES = int(Step.STRIDE), int(Step.IMAGES)
_LOAD, _SUM, _DOT, _MAXIMUM, _SPLIT, _MEAN, _FLATTEN, _STORE = (int(Kind(i)) for i in range(8))


def _make_sum_channels(weighted_sum):
    @inner_njit(fastmath=FAST)
    def sum_channels(step, first, last, v, arena, weights, limits, masks):
        """Computes the vectors from number v on, of channels [first, last), as weighted sums."""
        values, offsets, starts, biases, _ = weights
        for channel in range(first, last):
            shift = channel * step[_OUT_PLANE] + step[_OUT_LEAD] + 16 * v
            entry, other = step[_STARTS] + channel, step[_OTHER]
            weighted_sum(
                values, offsets, np.int64(starts[entry]), np.int64(starts[entry + 1]),
                arena, step[_SOURCE] + 16 * v, step[_OUT] + shift, biases[step[_BIAS] + channel],
                other + shift if other >= 0 else np.int64(-1), limits[0], limits[1], masks, step[_MASK] + 16 * v,
            )  # fmt: skip

    return sum_channels


_SUMS = tuple(_make_sum_channels(WEIGHTED_SUM[count]) for count in sorted(WEIGHTED_SUM))


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
    _call_sum(end - v - 1, step, first, last, v, arena, weights, limits, masks)


@inner_njit(fastmath=FAST)
def _dot(step, item, arena, weights, limits):
    """Computes an item of a linear layer for one image."""
    values, _, starts, biases, offsets = weights
    first, last = split_range(step[_CHANNELS], item, step[_ITEMS])
    for channel in range(first, last):
        entry = step[_STARTS] + channel
        start, stop = np.int64(starts[entry]), np.int64(starts[entry + 1])
        total = dot(values, offsets, start, stop, arena, step[_SOURCE], biases[step[_BIAS] + channel])
        if step[_OTHER] >= 0:
            total += arena[step[_OTHER] + channel]
        if total < limits[0]:
            total = limits[0]
        if total > limits[1]:
            total = limits[1]
        arena[step[_OUT] + channel] = total


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
def _split(step, item, arena, offsets):
    """Copies every `stride`-th pixel, from a phase (row, column) on, to planes [phase, channel]."""
    stride, channels = step[_STRIDE], step[_CHANNELS]
    first, last = split_range(channels, item, step[_ITEMS])
    for plane in range(first, last):
        phase, channel = plane // step[_OTHER], plane % step[_OTHER]
        top = np.int64(offsets[step[_STARTS] + 2 * phase])
        left = np.int64(offsets[step[_STARTS] + 2 * phase + 1])
        high = min(step[_OUT_HEIGHT], (step[_HEIGHT] - 1 - top) // stride + 1)
        wide = min(step[_OUT_WIDTH], (step[_WIDTH] - 1 - left) // stride + 1)
        for image in range(step[_IMAGES]):
            for y in range(high):
                row = image * step[_SOURCE_ROWS] + y * stride + top
                s = (
                    step[_SOURCE] + channel * step[_SOURCE_PLANE] + step[_SOURCE_LEAD] + row * step[_SOURCE_PITCH]
                    + left
                )  # fmt: skip
                o = (
                    step[_OUT] + plane * step[_OUT_PLANE] + step[_OUT_LEAD]
                    + (image * step[_OUT_ROWS] + y) * step[_OUT_PITCH]
                )  # fmt: skip
                if stride == 2:
                    copy_every_second(arena, s, o, wide)
                else:
                    for x in range(wide):
                        arena[o + x] = arena[s + stride * x]


@inner_njit(fastmath=FAST)
def _mean(step, item, arena):
    """Computes the mean of each image's pixels."""
    first, last = split_range(step[_CHANNELS], item, step[_ITEMS])
    scale = np.float32(1) / np.float32(step[_HEIGHT] * step[_WIDTH])
    length = (step[_HEIGHT] - 1) * step[_SOURCE_PITCH] + step[_WIDTH]
    for channel in range(first, last):
        for image in range(step[_IMAGES]):
            at = (
                step[_SOURCE] + channel * step[_SOURCE_PLANE] + step[_SOURCE_LEAD]
                + image * step[_SOURCE_ROWS] * step[_SOURCE_PITCH]
            )  # fmt: skip
            run = arena[at : at + length]  # what is between the rows is 0
            total = np.float32(0)
            for i in range(length):
                total += run[i]
            arena[step[_OUT] + channel * step[_OUT_PLANE] + image] = total * scale


@inner_njit(fastmath=FAST)
def _flatten(step, item, arena):
    """Copies pixels [channel, row, column] to one feature each."""
    first, last = split_range(step[_CHANNELS], item, step[_ITEMS])
    height, width = step[_HEIGHT], step[_WIDTH]
    for channel in range(first, last):
        for image in range(step[_IMAGES]):
            for y in range(height):
                s = (
                    step[_SOURCE] + channel * step[_SOURCE_PLANE] + step[_SOURCE_LEAD]
                    + (image * step[_SOURCE_ROWS] + y) * step[_SOURCE_PITCH]
                )  # fmt: skip
                feature = (channel * height + y) * width
                for x in range(width):
                    arena[step[_OUT] + (feature + x) * step[_OUT_PLANE] + image] = arena[s + x]


@inner_njit(fastmath=FAST)
def _load(step, item, arena, inputs, at, count):
    """Copies `count` images [channel, row, column] from number `at` of the inputs, flat, to planes."""
    height, width, channels = step[_OUT_HEIGHT], step[_OUT_WIDTH], step[_CHANNELS]
    first, last = split_range(channels, item, step[_ITEMS])
    for channel in range(first, last):
        for image in range(count):
            for y in range(height):
                s = (((at + image) * channels + channel) * height + y) * width
                o = (
                    step[_OUT] + channel * step[_OUT_PLANE] + step[_OUT_LEAD]
                    + (image * step[_OUT_ROWS] + y) * step[_OUT_PITCH]
                )  # fmt: skip
                copy_run(arena, o, inputs, s, width)


@inner_njit(fastmath=FAST)
def _store(step, item, arena, outputs, at, count):
    """Copies planes to `count` images [channel, row, column] from number `at` of the outputs on."""
    height, width, channels = step[_HEIGHT], step[_WIDTH], step[_CHANNELS]
    first, last = split_range(channels, item, step[_ITEMS])
    for channel in range(first, last):
        for image in range(count):
            for y in range(height):
                o = (((at + image) * channels + channel) * height + y) * width
                s = (
                    step[_SOURCE] + channel * step[_SOURCE_PLANE] + step[_SOURCE_LEAD]
                    + (image * step[_SOURCE_ROWS] + y) * step[_SOURCE_PITCH]
                )  # fmt: skip
                copy_run(outputs, o, arena, s, width)


@inner_njit(fastmath=FAST)
def _load_features(step, item, arena, inputs, at, count):
    """Copies `count` images [feature] from number `at` of the inputs to planes [feature, image]."""
    features, plane = step[_CHANNELS], step[_OUT_PLANE]
    first, last = split_range(features, item, step[_ITEMS])
    for feature in range(first, last, 16):
        for image in range(0, count, 16):
            s, o = (at + image) * features + feature, step[_OUT] + feature * plane + image
            if feature + 16 <= last and image + 16 <= count:
                transpose(inputs, s, features, arena, o, plane)
            else:
                for i in range(min(16, last - feature)):
                    for j in range(min(16, count - image)):
                        arena[o + i * plane + j] = inputs[s + j * features + i]


@inner_njit(fastmath=FAST)
def _store_features(step, item, arena, outputs, at, count):
    """Copies planes [feature, image] to `count` images [feature] from number `at` of the outputs on."""
    features, plane = step[_CHANNELS], step[_SOURCE_PLANE]
    first, last = split_range(features, item, step[_ITEMS])
    for feature in range(first, last, 16):
        for image in range(0, count, 16):
            s, o = step[_SOURCE] + feature * plane + image, (at + image) * features + feature
            if feature + 16 <= last and image + 16 <= count:
                transpose(arena, s, plane, outputs, o, features)
            else:
                for i in range(min(16, last - feature)):
                    for j in range(min(16, count - image)):
                        outputs[o + j * features + i] = arena[s + i * plane + j]


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
        _split(step, item, arena, weights[1])
    elif kind == _MEAN:
        _mean(step, item, arena)
    elif kind == _FLATTEN:
        _flatten(step, item, arena)
    elif kind == _LOAD and step[_OUT_WIDTH] == step[_OUT_ROWS] * step[_OUT_PITCH] == 1:
        _load_features(step, item, arena, inputs, at, count)
    elif kind == _STORE and step[_WIDTH] == step[_SOURCE_ROWS] * step[_SOURCE_PITCH] == 1:
        _store_features(step, item, arena, outputs, at, count)
    elif kind == _LOAD:
        _load(step, item, arena, inputs, at, count)
    else:
        _store(step, item, arena, outputs, at, count)
