"""What every corruption promises: images of the same shape, the same again for a seed, worse the more severe."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rarefy.evaluation.corruptions import COMMON, CORRUPTIONS, EXTRA, corrupt
from rarefy.registry import UnknownName

RANDOM = set(CORRUPTIONS) - {
    *("defocus_blur", "zoom_blur", "gaussian_blur", "brightness", "contrast"),
    *("pixelate", "jpeg_compression", "saturate"),
}


def test_names() -> None:
    assert len(COMMON) == 15 and len(EXTRA) == 4 and [*COMMON, *EXTRA] == list(CORRUPTIONS)


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("severity", [1, 5])
def test_bytes_of_the_same_shape_that_differ(name: str, severity: int, images: Tensor) -> None:
    before = images.clone()
    found = corrupt(images, name, severity)
    assert found.shape == images.shape and found.dtype == torch.uint8
    assert torch.equal(images, before)
    changed = (found != images).flatten(1).float().mean(1)
    assert (changed > 0).all()
    assert (found.float() - images.float()).abs().mean() < 90  # still an image of the same thing


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_seed_decides(name: str, images: Tensor) -> None:
    assert torch.equal(corrupt(images, name, 3, seed=1), corrupt(images, name, 3, seed=1))
    other = corrupt(images, name, 3, seed=2)
    assert torch.equal(corrupt(images, name, 3, seed=1), other) == (name not in RANDOM)


@pytest.mark.parametrize(
    "name", sorted(set(CORRUPTIONS) - {"elastic_transform", "saturate", "glass_blur", "frost", "spatter"})
)
def test_more_severe_is_farther_away(name: str, images: Tensor) -> None:
    """Not for those whose published strengths do not grow in this sense."""
    away = [(corrupt(images, name, severity).float() - images.float()).square().mean() for severity in (1, 3, 5)]
    assert away[0] < away[1] < away[2]


@pytest.mark.parametrize("name", sorted(set(CORRUPTIONS) - {"saturate"}))
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 20, 33)])
def test_grey_and_other_sizes(name: str, shape: tuple[int, int, int]) -> None:
    images = torch.randint(0, 256, (2, *shape), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    for severity in (1, 4):
        assert corrupt(images, name, severity).shape == images.shape


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("level", [0, 255])
def test_black_and_white_images_are_no_trouble(name: str, level: int) -> None:
    images = torch.full((1, 3, 32, 32), level, dtype=torch.uint8)
    for severity in (1, 5):
        assert corrupt(images, name, severity).shape == images.shape


def test_what_cannot_be_corrupted(images: Tensor) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'jpeg_compression'"):
        corrupt(images, "jpeg_compresion", 1)
    with pytest.raises(ValueError, match="1, 2, 3, 4 or 5; got 6"):
        corrupt(images, "fog", 6)
    for wrong in (images.float(), images[0], images[:, :2], images[:0]):
        with pytest.raises(ValueError, match="1 or 3 channels"):
            corrupt(wrong, "fog", 1)
    with pytest.raises(ValueError, match="grey ones have no saturation"):
        corrupt(images[:, :1], "saturate", 1)
