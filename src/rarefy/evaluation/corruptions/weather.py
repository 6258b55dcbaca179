"""Weather: snow, frost, fog, brightness and (extra) spatter. References: arXiv:1903.12261, strengths for CIFAR-10-C."""

from __future__ import annotations

import numpy as np

from rarefy.evaluation.corruptions._tools import (
    Array,
    blur_gaussian,
    blur_motion,
    draw_clouds,
    make_tint,
    to_grey,
    zoom_in,
)
from rarefy.evaluation.corruptions._water import render_relief

SNOW = (
    (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
    (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
    (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
    (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
    (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
)  # mean and deviation of the flakes, zoom, threshold, radius and sigma of their motion, share of the image kept
SPATTER = (
    (0.62, 0.1, 0.7, 0.7, 0.5),
    (0.65, 0.1, 0.8, 0.7, 0.5),
    (0.65, 0.3, 1, 0.69, 0.5),
    (0.65, 0.1, 0.7, 0.69, 0.6),
    (0.65, 0.1, 0.5, 0.68, 0.6),
)  # mean, deviation and blur of the liquid, threshold, strength of the water or blur of the mud
WATER, MUD, ICE = (175, 238, 238), (63, 42, 20), (205, 225, 240)


def snow(images: Array, severity: int, random: np.random.Generator) -> Array:
    """Whitens the image and lets flakes fall over it, in one direction and, turned around, in the opposite one."""
    mean, deviation, zoom, threshold, radius, sigma, kept = SNOW[severity - 1]
    count, _, height, width = images.shape
    flakes = zoom_in(random.normal(mean, deviation, (count, 1, height, width)).astype(np.float32), zoom)
    flakes = np.floor(np.where(flakes < threshold, 0, flakes).clip(0, 1) * 255) / np.float32(255)
    flakes = blur_motion(flakes, int(radius), sigma, random.uniform(-135, -45, (count,)))
    white = kept * images + (1 - kept) * np.maximum(images, to_grey(images) * 1.5 + 0.5)
    return (white + flakes + flakes[:, :, ::-1, ::-1]).astype(np.float32)


def frost(images: Array, severity: int, random: np.random.Generator) -> Array:
    """Lays frost over the image.

    The official files lay cut-outs of five photographs of frost over it. This one is made up: ridges of a cloud, in the
    colour of ice. The shares of image and frost are the published ones.
    """
    kept, strength = ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45))[severity - 1]
    ridges = 1 - np.abs(2 * draw_clouds(images, 1.6, random) - 1)
    out: Array = (kept * images + strength * ridges * make_tint(ICE, images.shape[1])).astype(np.float32)
    return out


def fog(images: Array, severity: int, random: np.random.Generator) -> Array:
    """Adds a cloud and takes contrast away, so that no number gets above what the brightest was."""
    strength, decay = ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75))[severity - 1]
    brightest = images.max((1, 2, 3), keepdims=True)
    out: Array = (
        (images + strength * draw_clouds(images, decay, random)) * brightest / (brightest + np.float32(strength))
    )
    return out


def brightness(images: Array, severity: int, random: np.random.Generator) -> Array:
    """Raises the value in the space of hue, saturation and value: the largest channel, the others in proportion."""
    value = images.max(1, keepdims=True)
    raised = (value + np.float32((0.05, 0.1, 0.15, 0.2, 0.3)[severity - 1])).clip(0, 1)
    out: Array = np.where(value > 0, images * (raised / np.where(value > 0, value, 1)), raised)
    return out


def spatter(images: Array, severity: int, random: np.random.Generator) -> Array:
    """Splashes water (severities 1 to 3) or mud (4 and 5) at the image."""
    mean, deviation, blur, threshold, strength = SPATTER[severity - 1]
    count, channels, height, width = images.shape
    liquid = blur_gaussian(random.normal(mean, deviation, (count, height, width)).astype(np.float32), blur)
    liquid = np.where(liquid < threshold, 0, liquid)
    if severity <= 3:
        return images + np.float32(strength) * render_relief(liquid)[:, None] * make_tint(WATER, channels)
    mud = blur_gaussian((liquid > threshold).astype(np.float32), strength)
    mud = np.where(mud < 0.8, 0, mud)[:, None]
    out: Array = images * (1 - mud) + mud * make_tint(MUD, channels)
    return out
