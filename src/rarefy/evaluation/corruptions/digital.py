"""Digital: contrast, elastic, pixelate, JPEG and (extra) saturate. References: arXiv:1903.12261, for CIFAR-10-C."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from rarefy.errors import InvalidInput
from rarefy.evaluation.corruptions._tools import Array, blur_gaussian


def contrast(images: Array, severity: int, random: np.random.Generator) -> Array:
    """Draws every channel towards its mean."""
    means = images.mean((2, 3), keepdims=True)
    out: Array = (images - means) * np.float32((0.75, 0.5, 0.4, 0.3, 0.15)[severity - 1]) + means
    return out


def elastic_transform(images: Array, severity: int, random: np.random.Generator) -> Array:
    """A small affine map, then a smooth field of displacements; both scale with the image's shorter side."""
    count, _, height, width = images.shape
    shares = ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03))
    strength, sigma, jitter = (share * min(height, width) for share in shares[severity - 1])
    at = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij")).astype(np.float32)
    images = _sample_bilinear(images, _draw_affine_map(count, (height, width), jitter, random), mirror_pixels=True)
    draws = random.uniform(-1, 1, (count, 2, height, width)).astype(np.float32)
    moves = strength * blur_gaussian(draws, sigma, mode="reflect", truncate=3.0) if sigma else 0 * draws
    return _sample_bilinear(images, at + moves, mirror_pixels=False)


def pixelate(images: Array, severity: int, random: np.random.Generator) -> Array:
    """Makes the image smaller and large again, by averages over boxes."""
    share = (0.95, 0.9, 0.85, 0.75, 0.65)[severity - 1]
    height, width = images.shape[2:]
    small = (max(1, int(width * share)), max(1, int(height * share)))

    def shrink_and_enlarge(picture: Image.Image) -> Image.Image:
        return picture.resize(small, Image.Resampling.BOX).resize((width, height), Image.Resampling.BOX)

    return _apply_pillow(images, shrink_and_enlarge)


def jpeg_compression(images: Array, severity: int, random: np.random.Generator) -> Array:
    """Stores the image as JPEG and reads it."""
    quality = (80, 65, 58, 50, 40)[severity - 1]

    def compress(picture: Image.Image) -> Image.Image:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return _apply_pillow(images, compress)


def saturate(images: Array, severity: int, random: np.random.Generator) -> Array:
    """Scales and shifts the saturation, in the space of hue, saturation and value; a grey pixel has the hue of red."""
    if images.shape[1] != 3:
        raise InvalidInput(
            "The corruption 'saturate' is for colour images; grey ones have no saturation. Leave it out."
        )
    scale, shift = ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2))[severity - 1]
    value = images.max(1, keepdims=True)
    range_ = value - images.min(1, keepdims=True)
    saturation = np.divide(range_, value, out=np.zeros_like(value), where=value > 0)
    red = np.broadcast_to(np.array([0, 1, 1], np.float32).reshape(1, 3, 1, 1), images.shape)
    below = np.divide(
        value - images, range_, out=red.copy(), where=range_ > 0
    )  # 0 for the largest channel, 1: smallest
    out: Array = value * (1 - (saturation * scale + shift).clip(0, 1) * below)
    return out


def _apply_pillow(images: Array, change: Callable[[Image.Image], Image.Image]) -> Array:
    pixels = np.round(images * 255).astype(np.uint8).transpose(0, 2, 3, 1)
    pixels = pixels[..., 0] if pixels.shape[3] == 1 else pixels
    out = np.stack([np.asarray(change(Image.fromarray(image))) for image in pixels])
    out = out[..., None] if out.ndim == 3 else out
    return out.transpose(0, 3, 1, 2).astype(np.float32) / 255


def _draw_affine_map(count: int, size: tuple[int, int], jitter: float, random: np.random.Generator) -> Array:
    """Draws affine maps that move three points at random; returns sources, ``[count, 2, H, W]`` (row, column)."""
    centre, reach = np.array(size) // 2, min(size) // 3
    before = centre + reach * np.array([[1, 1], [1, -1], [-1, -1]])
    after = before + random.uniform(-jitter, jitter, (count, 3, 2))
    back = np.linalg.solve(np.concatenate([after, np.ones((count, 3, 1))], 2), before)  # [count, 3, 2]
    rows, columns = np.meshgrid(np.arange(size[0]), np.arange(size[1]), indexing="ij")
    points = np.stack([rows, columns, np.ones_like(rows)], 2)
    out: Array = np.einsum("hwk,nkd->ndhw", points, back).astype(np.float32)
    return out


def _sample_bilinear(images: Array, positions: Array, *, mirror_pixels: bool) -> Array:
    """Samples images bilinearly at fractional positions ``[N, 2, H, W]`` (row, column).

    Beyond the edge they are mirrored at the centre of the last pixel, or (``mirror_pixels=False``) at its outer edge.
    """
    size = np.array(images.shape[2:], np.float32).reshape(2, 1, 1)
    scaled = 2 * positions / (size - 1) - 1 if mirror_pixels else (2 * positions + 1) / size - 1
    grid = torch.from_numpy(scaled[:, ::-1].copy()).permute(0, 2, 3, 1)
    out: Array = functional.grid_sample(
        torch.from_numpy(images), grid, padding_mode="reflection", align_corners=mirror_pixels
    ).numpy()
    return out
