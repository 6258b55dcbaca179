"""Synthetic images: any shape, learnable, a function of the generator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rarefy.data import DATASETS, Splits, load
from rarefy.registry import UnknownOption


def make(seed: int = 17, **options: float) -> Splits:
    return load(DATASETS.build("synthetic", **options), Path("unused"), torch.Generator().manual_seed(seed))


def test_any_shape() -> None:
    splits = make(classes=3, channels=2, height=5, width=7, train=9, validation=4, test=3)
    assert splits.train.images.shape == (9, 2, 5, 7)
    assert splits.train.labels.bincount().tolist() == [3, 3, 3]
    assert [len(splits.validation), len(splits.test)] == [4, 3]


def test_without_noise_a_class_is_one_image() -> None:
    splits = make(noise=0, train=30, classes=10)
    assert torch.equal(splits.train.images[:10], splits.train.images[10:20])
    assert torch.equal(splits.train.images[:10], splits.test.images[:10])
    assert len({image.numpy().tobytes() for image in splits.train.images}) == 10


def test_tiles_are_four_by_four() -> None:
    image = make(noise=0, train=1, height=8, width=8).train.images[0]
    assert torch.equal(image[:, ::2, ::2].repeat_interleave(2, 1).repeat_interleave(2, 2), image)


def test_normalised_pixels_are_about_standard() -> None:
    splits = make(classes=100)
    pixels = splits.spec.normalize(splits.train.images.float() / 255)
    assert abs(pixels.mean().item()) < 0.05
    assert pixels.std().item() == pytest.approx(1, abs=0.05)


def test_a_linear_model_learns_them(fits: Callable[[Splits], float]) -> None:
    assert fits(make(train=400, height=8, width=8)) > 0.95


@pytest.mark.parametrize(
    ("options", "message"),
    [({"classes": 0}, "classes must be at least 1, got 0"), ({"noise": -1}, "noise must be at least 0, got -1")],
)
def test_impossible_options_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(UnknownOption, match=message):
        DATASETS.build("synthetic", **options)
