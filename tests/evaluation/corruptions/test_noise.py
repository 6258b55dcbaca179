"""Moments of the noise, against what the distributions say."""

from __future__ import annotations

import pytest
import torch

from rarefy.evaluation.corruptions import corrupt

GREY = torch.full((50, 3, 32, 32), 128, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("name", "severity", "deviation"),
    [
        ("gaussian_noise", 1, 0.04 * 255),
        ("gaussian_noise", 5, 0.10 * 255),
        ("shot_noise", 2, (128 / 255 / 250) ** 0.5 * 255),  # the variance of a Poisson count is its mean
        ("shot_noise", 5, (128 / 255 / 50) ** 0.5 * 255),
        ("speckle_noise", 4, 0.16 * 128),
    ],
)
def test_mean_and_deviation(name: str, severity: int, deviation: float) -> None:
    found = corrupt(GREY, name, severity).double()
    assert found.mean().item() == pytest.approx(127.5, abs=0.3)  # cut down to whole levels: half a level less
    assert found.std().item() == pytest.approx(deviation, rel=0.02)


def test_impulses_are_a_share_of_black_and_white() -> None:
    found = corrupt(GREY, "impulse_noise", 5)
    assert (found == 0).float().mean().item() == pytest.approx(0.035, abs=0.002)
    assert (found == 255).float().mean().item() == pytest.approx(0.035, abs=0.002)
    assert set(found.unique().tolist()) == {0, 128, 255}
