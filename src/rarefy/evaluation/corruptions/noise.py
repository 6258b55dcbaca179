"""Noise: Gaussian, shot, impulse and (extra) speckle. References: arXiv:1903.12261, the strengths for CIFAR-10-C."""

from __future__ import annotations

import numpy as np

from rarefy.evaluation.corruptions._tools import Array


def gaussian_noise(images: Array, severity: int, random: np.random.Generator) -> Array:
    """Adds normal noise to every number."""
    deviation = (0.04, 0.06, 0.08, 0.09, 0.10)[severity - 1]
    out: Array = images + deviation * random.standard_normal(images.shape, np.float32)
    return out


def shot_noise(images: Array, severity: int, random: np.random.Generator) -> Array:
    """Counts photons: Poisson noise."""
    photons = (500, 250, 100, 75, 50)[severity - 1]
    return (random.poisson(images * photons) / photons).astype(np.float32)


def impulse_noise(images: Array, severity: int, random: np.random.Generator) -> Array:
    """Turns a share of the numbers to 0 or 1, as many to the one as to the other."""
    share = (0.01, 0.02, 0.03, 0.05, 0.07)[severity - 1]
    draw = random.random(images.shape, np.float32)
    return np.where(draw < share, (draw < share / 2).astype(np.float32), images)


def speckle_noise(images: Array, severity: int, random: np.random.Generator) -> Array:
    """Adds normal noise in proportion to every number."""
    deviation = (0.06, 0.1, 0.12, 0.16, 0.2)[severity - 1]
    return images + images * deviation * random.standard_normal(images.shape, np.float32)
