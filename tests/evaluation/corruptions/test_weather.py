from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch
from torch import Tensor

from rarefy.evaluation.corruptions import corrupt
from rarefy.evaluation.corruptions._tools import draw_plasma
from rarefy.evaluation.corruptions._water import _equalise_levels, render_relief


def test_brightness_agrees_with_colorsys(images: Tensor) -> None:
    found = corrupt(images, "brightness", 3)[0].flatten(1).T
    for pixel, ours in zip((images[0].flatten(1).T / 255).tolist()[::37], found[::37], strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
        expected = colorsys.hsv_to_rgb(hue, saturation, min(1, value + 0.15))
        assert (ours - torch.tensor(expected) * 255).abs().max() <= 1.01


@pytest.mark.parametrize("side", [2, 32])
def test_clouds_fill_zero_to_one_and_differ(side: int) -> None:
    clouds = draw_plasma(3, side, 2.0, np.random.default_rng(0))
    assert clouds.shape == (3, side, side)
    assert (clouds.min((1, 2)) == 0).all() and (clouds.max((1, 2)) == 1).all()
    assert not np.allclose(clouds[0], clouds[1])


def test_clouds_get_smoother_with_decay() -> None:
    rough, smooth = (draw_plasma(20, 32, decay, np.random.default_rng(0)) for decay in (1.2, 3.0))
    assert np.abs(np.diff(rough, axis=1)).mean() > 2 * np.abs(np.diff(smooth, axis=1)).mean()


def test_fog_makes_black_brighter_and_takes_contrast_away() -> None:
    images = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    images[:, :, :, 16:] = 255
    found = corrupt(images, "fog", 5)
    assert found[..., :16].float().mean() > 40
    assert found[..., 16:].amin() >= 255 / 2.5 - 1


def test_frost_adds_at_most_its_share(images: Tensor) -> None:
    black = torch.zeros_like(images)
    for severity, strength in ((1, 0.2), (5, 0.45)):
        frost = corrupt(black, "frost", severity)
        assert 0 < frost.amax() <= strength * 240
        assert (frost[:, 2] >= frost[:, 1]).all() and (frost[:, 1] >= frost[:, 0]).all()  # bluish


def test_snow_falls_on_a_grey_image_and_only_brightens_it() -> None:
    grey = torch.full((3, 3, 32, 32), 60, dtype=torch.uint8)
    found = corrupt(grey, "snow", 4)
    assert found.amin() >= 60 and found.amax() > 120
    assert (found == found[:, :1]).all()


def test_mud_is_brown_and_water_is_bright() -> None:
    grey = torch.full((3, 3, 32, 32), 120, dtype=torch.uint8)
    mud, water = corrupt(grey, "spatter", 5), corrupt(grey, "spatter", 3)
    assert mud.amax() <= 120 and mud[:, 0].amin() >= 62 and mud[:, 2].amin() <= 30
    assert water.amin() >= 120 and water.amax() > 150


def test_relief_of_a_dry_image_is_nothing_and_of_drops_at_most_one() -> None:
    liquid = np.zeros((2, 32, 32), np.float32)
    liquid[1, 8:20, 8:20] = 0.8
    dry, wet = render_relief(liquid)
    assert (dry == 0).all()
    assert wet.max() == 1 and wet.min() == pytest.approx(0) and (wet[:7] == 0).all()


def test_drops_are_bright_on_the_side_that_opencv_lights() -> None:
    """Rows of a square drop of 12 x 12 pixels as OpenCV 5.0 gives them: Canny, distanceTransform, filter2D and blur."""
    liquid = np.zeros((1, 32, 32), np.float32)
    liquid[0, 8:20, 8:20] = 0.8
    found = render_relief(liquid)[0, 8:20, 8:20]
    third = [0.45, 0.74, 0.90, 0.96, 0.93, 0.77, 0.54, 0.34, 0.19, 0.09, 0.09, 0.31]
    last = [0.29, 0.35, 0.31, 0.28, 0.26, 0.26, 0.26, 0.26, 0.27, 0.30, 0.39, 0.55]
    np.testing.assert_allclose(found[2], third, atol=0.025)
    np.testing.assert_allclose(found[11], last, atol=0.035)


def test_equalised_by_hand() -> None:
    # Levels 3, 3, 5, 9: ranks 2, 2, 3, 4 of 4 less the lowest level's 2, over 4 - 2.
    assert _equalise_levels(np.array([[[3.0, 3.0], [5.0, 9.0]]])).ravel().tolist() == [0, 0, 128, 255]
    assert (_equalise_levels(np.full((1, 2, 2), 7.0)) == 7).all()
