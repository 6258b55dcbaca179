"""Kernels that copy planes: from and to arrays of images, every second pixel, means and flat features."""

# mypy: ignore-errors

from __future__ import annotations

import numpy as np

from rarefy.engines._cpu.kernels._numba import inner_njit
from rarefy.engines._cpu.kernels._parallel_for import split_range
from rarefy.engines._cpu.kernels._plane_columns import Step
from rarefy.engines._cpu.kernels._plane_loops import copy_every_second, copy_run
from rarefy.engines._cpu.kernels._tiles import FAST
from rarefy.engines._cpu.kernels._vector_ops import transpose

_ITEMS = int(Step.ITEMS)
_CHANNELS = int(Step.CHANNELS)
_STARTS = int(Step.STARTS)
_OTHER = int(Step.OTHER)
_SOURCE = int(Step.SOURCE)
_SOURCE_PLANE = int(Step.SOURCE_PLANE)
_SOURCE_LEAD = int(Step.SOURCE_LEAD)
_SOURCE_PITCH = int(Step.SOURCE_PITCH)
_SOURCE_ROWS = int(Step.SOURCE_ROWS)
_HEIGHT = int(Step.SOURCE_HEIGHT)
_WIDTH = int(Step.SOURCE_WIDTH)
_OUT = int(Step.OUT)
_OUT_PLANE = int(Step.OUT_PLANE)
_OUT_LEAD = int(Step.OUT_LEAD)
_OUT_PITCH = int(Step.OUT_PITCH)
_OUT_ROWS = int(Step.OUT_ROWS)
_OUT_HEIGHT = int(Step.OUT_HEIGHT)
_OUT_WIDTH = int(Step.OUT_WIDTH)
_STRIDE = int(Step.STRIDE)
_IMAGES = int(Step.IMAGES)


@inner_njit(fastmath=FAST)
def split_planes(step, item, arena, offsets):
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
def mean_planes(step, item, arena):
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
def flatten_planes(step, item, arena):
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
def load_planes(step, item, arena, inputs, at, count):
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
def store_planes(step, item, arena, outputs, at, count):
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
def load_features(step, item, arena, inputs, at, count):
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
def store_features(step, item, arena, outputs, at, count):
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
