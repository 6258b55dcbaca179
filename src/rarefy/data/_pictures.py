"""Cropping and resizing of pictures to a square, as is usual for ImageNet."""

from __future__ import annotations

import dataclasses
import math

import torch
from PIL import Image

from rarefy.errors import InvalidInput

_TRIES = 10
_FULL = 256 / 224  # the shorter side is resized to this many times the crop


@dataclasses.dataclass(frozen=True)
class ResizedCrop:
    """How training images of any size are varied: a random part, resized to a square, and mirrored at random.

    Args:
        scale: Least and largest share of the picture's area.
        ratio: Least and largest width / height, drawn evenly in its logarithm.
        flip: Mirror left and right with probability one half.

    Raises:
        ValueError: If a range is empty or not positive, or the scale is above 1.

    Example:
        >>> ResizedCrop().scale
        (0.08, 1.0)

    References:
        Szegedy et al., 2015, arXiv:1409.4842, section 6.
    """

    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: bool = True

    def __post_init__(self) -> None:
        """Checks the ranges."""
        if not (0 < self.scale[0] <= self.scale[1] <= 1 and 0 < self.ratio[0] <= self.ratio[1]):
            raise InvalidInput(f"scale={self.scale} lies in (0, 1], ratio={self.ratio} above 0, each from low to high.")

    def __call__(self, picture: Image.Image, size: int, generator: torch.Generator) -> Image.Image:
        """Crops a random part and resizes it to a square of `size` pixels."""
        numbers = torch.rand(_TRIES * 4 + 1, generator=generator, dtype=torch.float64).tolist()
        square = _resize(picture.crop(self._draw_box(*picture.size, numbers)), (size, size))
        mirrored = self.flip and numbers[-1] < 0.5
        return square.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else square

    def _draw_box(self, width: int, height: int, numbers: list[float]) -> tuple[int, int, int, int]:
        """Draws (left, top, right, bottom): the first of ten draws that fits, else the largest central part."""
        low, high = (math.log(ratio) for ratio in self.ratio)
        for attempt in range(_TRIES):
            area, shape, across, down = numbers[4 * attempt : 4 * attempt + 4]
            target = width * height * (self.scale[0] + area * (self.scale[1] - self.scale[0]))
            ratio = math.exp(low + shape * (high - low))
            wide, tall = round(math.sqrt(target * ratio)), round(math.sqrt(target / ratio))
            if 0 < wide <= width and 0 < tall <= height:
                left, top = int(across * (width - wide + 1)), int(down * (height - tall + 1))
                return left, top, left + wide, top + tall
        wide = min(width, round(height * self.ratio[1]))
        tall = min(height, round(width / self.ratio[0]))
        left, top = (width - wide) // 2, (height - tall) // 2
        return left, top, left + wide, top + tall


def crop_center(picture: Image.Image, size: int) -> Image.Image:
    """Resizes the shorter side to 256/224 of ``size`` (256 for 224) and crops the central square."""
    short = round(size * _FULL)
    width, height = picture.size
    if width <= height:
        picture = _resize(picture, (short, int(short * height / width)))
    else:
        picture = _resize(picture, (int(short * width / height), short))
    left, top = (round((side - size) / 2) for side in picture.size)
    return picture.crop((left, top, left + size, top + size))


def _resize(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    return picture.resize(size, Image.Resampling.BILINEAR)
