"""Synthetic: made-up images of any shape, quick to make and possible to learn."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from rarefy.data._load import DATASETS
from rarefy.data._spec import Spec
from rarefy.data._split import Augment, Split
from rarefy.data._splits import Splits
from rarefy.errors import InvalidInput

# A prototype is a grid of CELLS x CELLS grey or coloured tiles, CONTRAST apart (as a deviation, pixels in [0, 1]).
CELLS = 4
CONTRAST = 0.15


_MOST_BYTES = 2**33


@DATASETS.register("synthetic")
@dataclasses.dataclass(frozen=True)
class Synthetic:
    """Each class is a random pattern of tiles; an image is its class's pattern plus Gaussian noise.

    Content depends on the generator alone. Labels go round, 0, 1, ..., classes - 1, 0, ..., so that every split is
    balanced. Nothing is augmented.

    Args:
        classes: Number of classes.
        channels: Channels of an image.
        height: Height in pixels.
        width: Width in pixels.
        train: Training images.
        validation: Validation images.
        test: Test images.
        noise: Deviation of the noise for pixels in [0, 1]; 0 makes all images of a class equal.

    Raises:
        ValueError: If a count or size is below 1, or the noise is below 0.

    Example:
        >>> splits = DATASETS.build("synthetic", height=8, width=8, train=20)(Path("unused"), torch.Generator())
        >>> splits.train.images.shape
        torch.Size([20, 3, 8, 8])
    """

    title: ClassVar[str] = "synthetic images"
    classes: int = 10
    channels: int = 3
    height: int = 32
    width: int = 32
    train: int = 2000
    validation: int = 500
    test: int = 500
    noise: float = 0.2

    def __post_init__(self) -> None:
        """Checks every option's range."""
        for name in ("classes", "channels", "height", "width", "train", "validation", "test"):
            if getattr(self, name) < 1:
                raise InvalidInput(f"{name} must be at least 1, got {getattr(self, name)}")
        pixels = (self.train + self.validation + self.test + self.classes) * self.channels * self.height * self.width
        if pixels > _MOST_BYTES:
            raise InvalidInput(f"its images have {pixels} bytes in all, and at most {_MOST_BYTES} are made")
        if not self.noise >= 0:
            raise InvalidInput(f"noise must be at least 0, got {self.noise}", name="noise", value=self.noise)

    @property
    def spec(self) -> Spec:
        """Shapes, classes and normalisation, known from the options."""
        spread = (CONTRAST**2 + self.noise**2) ** 0.5
        size = (self.channels, self.height, self.width)
        return Spec("synthetic", self.classes, *size, (0.5,) * self.channels, (spread,) * self.channels)

    def __call__(self, directory: Path, generator: torch.Generator) -> Splits:
        """Makes the images from ``generator``; reads nothing from ``directory``."""
        tiles = torch.randn(self.classes, self.channels, CELLS, CELLS, generator=generator)
        prototypes = 0.5 + CONTRAST * functional.interpolate(tiles, (self.height, self.width), mode="nearest")
        sizes = (self.train, self.validation, self.test)
        train, validation, test = (self._split(size, prototypes, generator) for size in sizes)
        return Splits(train, validation, test, self.spec, Augment())

    def _split(self, size: int, prototypes: Tensor, generator: torch.Generator) -> Split:
        labels = torch.arange(size) % self.classes
        pixels = torch.randn(size, *prototypes.shape[1:], generator=generator).mul_(self.noise).add_(prototypes[labels])
        return Split(pixels.mul_(255).round_().clamp_(0, 255).to(torch.uint8), labels)
