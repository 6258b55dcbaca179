"""Blurs keep a flat image, spread a point by a known kernel, and agree with scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from rarefy.evaluation.corruptions import corrupt
from rarefy.evaluation.corruptions._tools import blur_motion, zoom_in

BLURS = ["defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "gaussian_blur"]


@pytest.mark.parametrize("name", BLURS)
def test_a_flat_image_stays(name: str) -> None:
    flat = torch.full((2, 3, 32, 32), 100, dtype=torch.uint8)
    assert (corrupt(flat, name, 5).int() - 100).abs().max() <= 1


@pytest.mark.parametrize("name", ["defocus_blur", "motion_blur", "gaussian_blur"])
def test_light_is_kept(name: str) -> None:
    point = torch.zeros(1, 1, 33, 33, dtype=torch.uint8)
    point[0, 0, 12:21, 12:21] = 255
    assert corrupt(point, name, 3).sum().item() == pytest.approx(81 * 255, rel=0.02)


def test_defocus_by_hand() -> None:
    """Severity 4: a disk of radius 1 is a plus of five pixels; the Gaussian of 0.2 pixels hardly spreads it."""
    point = torch.zeros(1, 1, 9, 9, dtype=torch.uint8)
    point[0, 0, 4, 4] = 255
    found = corrupt(point, "defocus_blur", 4)[0, 0]
    assert found[4, 4] in (50, 51) and found[3, 4] in (50, 51) and found[4, 5] in (50, 51) and found[3, 3] <= 1


def test_gaussian_agrees_with_pillow(images: Tensor) -> None:
    expected = ndimage.gaussian_filter(images[0, 0].double().numpy(), 1, mode="nearest")
    assert np.abs(corrupt(images, "gaussian_blur", 5)[0, 0].numpy() - expected).max() <= 1.01


@pytest.mark.parametrize("factor", [1.0, 1.06, 1.25, 2.25])
def test_zoom_agrees_with_scipy(factor: float, images: Tensor) -> None:
    pixels = images[0].numpy().astype(np.float32)
    cut = int(np.ceil(32 / factor))
    top = (32 - cut) // 2
    large = ndimage.zoom(pixels[:, top : top + cut, top : top + cut], (1, factor, factor), order=1)
    trim = (large.shape[1] - 32) // 2
    expected = large[:, trim : trim + 32, trim : trim + 32]
    np.testing.assert_allclose(zoom_in(pixels[None], factor)[0], expected, atol=0.01)


@pytest.mark.parametrize(
    ("severity", "stop", "levels"), [(1, 1.06, 7), (2, 1.11, 12), (3, 1.16, 16), (4, 1.21, 21), (5, 1.26, 26)]
)
@pytest.mark.parametrize("side", [32, 64])
def test_zoom_blur_averages_as_many_enlargements_as_the_official_loops(
    severity: int, stop: float, levels: int, side: int, images: Tensor
) -> None:
    """The mean of the image and scipy's enlargements of it by every factor of the published range."""
    pixels = functional.interpolate(images, (side, side)).numpy()
    factors = np.arange(1, stop, 0.01)
    assert len(factors) == levels
    enlarged = []
    for factor in factors:
        cut = int(np.ceil(side / factor))
        top = (side - cut) // 2
        middle = pixels[:, :, top : top + cut, top : top + cut].astype(np.float64)
        large = ndimage.zoom(middle, (1, 1, factor, factor), order=1)
        trim = (large.shape[2] - side) // 2
        enlarged.append(large[:, :, trim : trim + side, trim : trim + side])
    expected = (pixels + sum(enlarged)) / (levels + 1)
    found = corrupt(torch.from_numpy(pixels), "zoom_blur", severity).numpy()
    assert np.abs(found - expected).max() <= 1.01  # of 255 levels, rounding down


def test_motion_is_one_sided_along_the_angle() -> None:
    point = np.zeros((3, 1, 21, 21), np.float32)
    point[:, 0, 10, 10] = 1
    along, down, across = blur_motion(point, 3, 2.0, np.array([0.0, 90.0, 45.0]))[:, 0]
    weights = np.exp(-0.5 * (np.arange(7) / 2) ** 2)
    np.testing.assert_allclose(along[10, 10:3:-1], weights / weights.sum(), rtol=1e-5)
    np.testing.assert_allclose(down[10:3:-1, 10], weights / weights.sum(), rtol=1e-5)
    assert along[10, 11:].sum() == 0 and np.triu(across, 1).sum() == pytest.approx(0)


def test_glass_takes_only_neighbours() -> None:
    """Severity 1 hardly blurs: every pixel is one of the four at it, above it and left of it."""
    levels = torch.randint(0, 256, (3, 1, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    found = corrupt(levels, "glass_blur", 1).int()
    near = torch.stack([levels.int().roll((down, right), (2, 3)) for down in (0, 1) for right in (0, 1)])
    assert ((near - found).abs().amin(0) <= 1).all()
    assert torch.equal(found[:, :, :2], levels[:, :, :2].int()) and 0.5 < (found != levels).float().mean() < 0.9
