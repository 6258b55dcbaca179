"""Blur: defocus, glass, motion, zoom and (extra) Gaussian. References: arXiv:1903.12261, strengths for CIFAR-10-C."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from rarefy.evaluation.corruptions._tools import Array, blur_gaussian, blur_motion, zoom_in


def defocus_blur(images: Array, severity: int, random: np.random.Generator) -> Array:
    """Averages over a disk whose edge is smoothed by a 3 x 3 Gaussian; edges are mirrored."""
    radius, smoothing = ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1))[severity - 1]
    reach = np.arange(-3, 4)
    disk = ((reach[:, None] ** 2 + reach**2) <= radius**2).astype(np.float64)
    near = np.exp(-0.5 / smoothing**2)
    tap = np.array([near, 1, near]) / (1 + 2 * near)
    for axis in (0, 1):
        disk = np.apply_along_axis(np.convolve, axis, disk, tap, mode="same")
    kernel = torch.from_numpy(disk / disk.sum()).float().expand(images.shape[1], 1, 7, 7)
    padded = functional.pad(torch.from_numpy(images), (3, 3, 3, 3), mode="reflect")
    out: Array = functional.conv2d(padded, kernel, groups=images.shape[1]).numpy()
    return out


def glass_blur(images: Array, severity: int, random: np.random.Generator) -> Array:
    """Blurs, lets pixels take the place of neighbours, and blurs again.

    As in the code that made the official files a pixel is overwritten by its neighbour, and not exchanged with it.
    """
    sigma, reach, rounds = ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2))[severity - 1]
    glass, every = np.floor(blur_gaussian(images, sigma) * 255), np.arange(len(images))
    height, width = images.shape[2:]
    for _ in range(rounds):
        for row in range(height - reach, reach, -1):
            for column in range(width - reach, reach, -1):
                right, down = random.integers(-reach, reach, (2, len(images)))
                glass[:, :, row, column] = glass[every, :, row + down, column + right]
    return blur_gaussian(glass / np.float32(255), sigma)


def motion_blur(images: Array, severity: int, random: np.random.Generator) -> Array:
    """Smears every image along its own direction, 45 degrees around the horizontal."""
    radius, sigma = ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5))[severity - 1]
    return blur_motion(images, int(radius), sigma, random.uniform(-45, 45, len(images)))


def zoom_blur(images: Array, severity: int, random: np.random.Generator) -> Array:
    """Averages the image and 7, 12, 16, 21 or 26 enlargements of it, in steps of one percent.

    The factors are those of the official loops to the last bit: their rounding decides how large an enlargement is.
    """
    factors = np.arange(1, (1.06, 1.11, 1.16, 1.21, 1.26)[severity - 1], 0.01)
    total = images.copy()
    for factor in factors:
        total += zoom_in(images, factor)
    return total / np.float32(len(factors) + 1)


def gaussian_blur(images: Array, severity: int, random: np.random.Generator) -> Array:
    """Gaussian blur."""
    return blur_gaussian(images, (0.4, 0.6, 0.7, 0.8, 1)[severity - 1])
