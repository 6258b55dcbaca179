from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from rarefy.evaluation.corruptions import corrupt
from rarefy.evaluation.corruptions.digital import _draw_affine_map, _sample_bilinear


@pytest.mark.parametrize("severity", [1, 2, 5])
def test_saturate_agrees_with_colorsys(severity: int, images: Tensor) -> None:
    images = images.clone()
    images[0, :, 0] = 90  # grey pixels, whose hue is red
    scale, shift = {1: (0.3, 0), 2: (0.1, 0), 5: (2.5, 0.2)}[severity]
    found = corrupt(images, "saturate", severity)[0].flatten(1).T
    for pixel, ours in zip((images[0].flatten(1).T / 255).tolist()[::31], found[::31], strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
        expected = colorsys.hsv_to_rgb(hue, min(1, saturation * scale + shift), value)
        assert (ours - torch.tensor(expected) * 255).abs().max() <= 1.01


def test_contrast_scales_the_deviation_and_keeps_the_mean(images: Tensor) -> None:
    found = corrupt(images, "contrast", 2).float()
    torch.testing.assert_close(found.std((2, 3)), images.float().std((2, 3)) / 2, rtol=0.02, atol=0.3)
    torch.testing.assert_close(found.mean((2, 3)), images.float().mean((2, 3)), rtol=0, atol=1)


def test_pixelate_by_hand() -> None:
    """From 32 to 20 pixels and back by boxes: no more than 20 different columns are left."""
    ramp = torch.arange(32, dtype=torch.uint8).mul(8).expand(1, 1, 32, 32).contiguous()
    found = corrupt(ramp, "pixelate", 5)[0, 0]
    assert len(found[0].unique()) == 20 and (found == found[0]).all()


def test_jpeg_loses_more_at_lower_quality_and_stays_near(images: Tensor) -> None:
    away = [(corrupt(images, "jpeg_compression", s).float() - images.float()).abs().mean() for s in (1, 5)]
    assert 0 < away[0] < away[1] < 20


@pytest.mark.parametrize(("mirror_pixels", "mode"), [(True, "mirror"), (False, "reflect")])
def test_sampling_agrees_with_scipy(mirror_pixels: bool, mode: str, images: Tensor) -> None:
    pixels = images[:1].numpy().astype(np.float32) / 255
    places = np.random.default_rng(0).uniform(-6, 37, (1, 2, 32, 32)).astype(np.float32)
    expected = ndimage.map_coordinates(pixels[0, 1], places[0], order=1, mode=mode)
    np.testing.assert_allclose(_sample_bilinear(pixels, places, mirror_pixels=mirror_pixels)[0, 1], expected, atol=1e-3)


def test_the_affine_map_takes_the_moved_points_back() -> None:
    """The three points are (26, 26), (26, 6) and (6, 6) for 32 pixels; the map is affine, and the identity unmoved."""
    still = _draw_affine_map(1, (32, 32), 0.0, np.random.default_rng(0))
    np.testing.assert_allclose(still[0], np.mgrid[:32, :32], atol=1e-4)
    draws = np.random.default_rng(0).uniform(-2, 2, (1, 3, 2))
    back = _draw_affine_map(1, (32, 32), 2.0, np.random.default_rng(0))[0]
    for point, move in zip(((26, 26), (26, 6), (6, 6)), draws[0], strict=True):
        moved = [ndimage.map_coordinates(axis, (np.array(point) + move)[:, None], order=1)[0] for axis in back]
        np.testing.assert_allclose(moved, point, atol=1e-3)
