"""Filters and patterns shared by corruptions. Images are float32 ``[N, C, H, W]`` in [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

Array: TypeAlias = NDArray[Any]  # float32 unless stated otherwise
Corruption: TypeAlias = Callable[[Array, int, np.random.Generator], Array]  # images, severity 1 to 5, random numbers

LUMA = (0.299, 0.587, 0.114)  # Rec. ITU-R BT.601


def blur_gaussian(images: Array, sigma: float, *, mode: str = "nearest", truncate: float = 4.0) -> Array:
    """Blurs the last two axes with a Gaussian."""
    from scipy.ndimage import gaussian_filter  # type: ignore[import-untyped, unused-ignore]

    sigmas = (0,) * (images.ndim - 2) + (sigma, sigma)
    out: Array = gaussian_filter(images, sigmas, mode=mode, truncate=truncate)
    return out


def zoom_in(images: Array, factor: float) -> Array:
    """Enlarges the centre of the images bilinearly by a factor of at least 1, at the same size."""
    height, width = images.shape[2:]
    cut = [math.ceil(side / factor) for side in (height, width)]
    top, left = (height - cut[0]) // 2, (width - cut[1]) // 2
    middle = torch.from_numpy(images[:, :, top : top + cut[0], left : left + cut[1]].copy())
    size = (round(cut[0] * factor), round(cut[1] * factor))
    large: Array = functional.interpolate(middle, size, mode="bilinear", align_corners=True).numpy()
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return large[:, :, top : top + height, left : left + width]


def blur_motion(images: Array, radius: int, sigma: float, degrees: Array) -> Array:
    """Blurs each image to one side along its own direction, with half a Gaussian as weights and edges repeated."""
    height, width = images.shape[2:]
    weights = np.exp(-0.5 * (np.arange(2 * radius + 1) / sigma) ** 2)
    down, right = np.sin(np.deg2rad(degrees)), np.cos(np.deg2rad(degrees))
    image = np.arange(len(images))[:, None, None]
    out = np.zeros_like(images.transpose(0, 2, 3, 1))
    for step, weight in enumerate(weights / weights.sum()):
        rows = np.arange(height) + np.ceil(step * down - 0.5).astype(int)[:, None]
        columns = np.arange(width) + np.ceil(step * right - 0.5).astype(int)[:, None]
        place = (rows.clip(0, height - 1)[:, :, None], columns.clip(0, width - 1)[:, None, :])
        out += np.float32(weight) * images.transpose(0, 2, 3, 1)[image, place[0], place[1]]
    return out.transpose(0, 3, 1, 2)


def draw_plasma(count: int, side: int, decay: float, random: np.random.Generator) -> Array:
    """Clouds by the diamond-square algorithm, ``[count, side, side]``, each from 0 to 1; ``side`` is a power of 2.

    Every halving of the mesh divides the deviation of what is added by the square of ``decay``.
    """
    clouds, mesh, wobble = np.zeros((count, side, side)), side, 100.0

    def displace(near: Array, far: Array) -> Array:
        return (near + far) / 4 + wobble * random.uniform(-wobble, wobble, near.shape)

    while mesh >= 2:
        half = mesh // 2
        corners = clouds[:, ::mesh, ::mesh]
        pairs = corners + np.roll(corners, -1, 1)
        clouds[:, half::mesh, half::mesh] = displace(pairs, np.roll(pairs, -1, 2))
        centres, corners = clouds[:, half::mesh, half::mesh], clouds[:, ::mesh, ::mesh]
        clouds[:, ::mesh, half::mesh] = displace(centres + np.roll(centres, 1, 1), corners + np.roll(corners, -1, 2))
        clouds[:, half::mesh, ::mesh] = displace(centres + np.roll(centres, 1, 2), corners + np.roll(corners, -1, 1))
        mesh, wobble = half, wobble / decay
    clouds -= clouds.min((1, 2), keepdims=True)
    out: Array = (clouds / clouds.max((1, 2), keepdims=True)).astype(np.float32)
    return out


def draw_clouds(images: Array, decay: float, random: np.random.Generator) -> Array:
    """Draws one cloud per image, ``[N, 1, H, W]``."""
    count, _, height, width = images.shape
    side = 2 ** int(np.ceil(np.log2(max(height, width, 2))))
    return draw_plasma(count, side, decay, random)[:, None, :height, :width]


def make_tint(colour: tuple[int, int, int], channels: int) -> Array:
    """Converts a colour of 256 levels to ``[channels, 1, 1]`` in [0, 1]; for grey images to its luma."""
    values = np.array(colour if channels == 3 else [np.dot(colour, LUMA)], np.float32)
    return values.reshape(-1, 1, 1) / 255


def to_grey(images: Array) -> Array:
    """Computes the luma ``[N, 1, H, W]``; returns grey images unchanged."""
    if images.shape[1] == 1:
        return images
    out: Array = np.einsum("nchw,c->nhw", images, np.array(LUMA, np.float32))[:, None]
    return out
