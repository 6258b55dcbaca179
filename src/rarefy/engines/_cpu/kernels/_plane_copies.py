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
def copy_images(step, item, arena, images, at, count, back):
    """Copies `count` images [channel, row, column] from number `at` of a flat array on to planes; or back."""
    height, width, channels = step[_OUT_HEIGHT], step[_OUT_WIDTH], step[_CHANNELS]
    first, last = split_range(channels, item, step[_ITEMS])
    for channel in range(first, last):
        for image in range(count):
            for y in range(height):
                i = (((at + image) * channels + channel) * height + y) * width
                p = (
                    step[_OUT] + channel * step[_OUT_PLANE] + step[_OUT_LEAD]
                    + (image * step[_OUT_ROWS] + y) * step[_OUT_PITCH]
                )  # fmt: skip
                if back:
                    copy_run(images, i, arena, p, width)
                else:
                    copy_run(arena, p, images, i, width)


@inner_njit(fastmath=FAST)
def copy_features(step, item, arena, images, at, count, back):
    """Copies `count` images [feature] from number `at` of a flat array on to planes [feature, image]; or back."""
    features, plane = step[_CHANNELS], step[_OUT_PLANE]
    first, last = split_range(features, item, step[_ITEMS])
    for feature in range(first, last, 16):
        for image in range(0, count, 16):
            i, p = (at + image) * features + feature, step[_OUT] + feature * plane + image
            whole = feature + 16 <= last and image + 16 <= count
            if whole and back:
                transpose(arena, p, plane, images, i, features)
            elif whole:
                transpose(images, i, features, arena, p, plane)
            else:
                for f in range(min(16, last - feature)):
                    for n in range(min(16, count - image)):
                        if back:
                            images[i + n * features + f] = arena[p + f * plane + n]
                        else:
                            arena[p + f * plane + n] = images[i + n * features + f]
