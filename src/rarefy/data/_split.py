"""A split in memory, and how its images are augmented."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Literal

import torch
from torch import Tensor

from rarefy.errors import InvalidInput


@dataclasses.dataclass(frozen=True)
class Augment:
    """Augmentation of training images in memory: padding, random crops of the original size, random mirroring.

    Augment() leaves images as they are. Padding happens before normalisation, so a zero is a black pixel.

    Args:
        pad: Pixels added on each side before the random crop.
        mode: ``"reflect"`` mirrors the image at its border, ``"zero"`` adds black, ``"none"`` goes with ``pad=0``.
        flip: Mirror left and right with probability one half.

    Raises:
        ValueError: If ``pad`` is negative, or ``pad`` and ``mode`` do not agree on whether there is padding.

    Example:
        >>> Augment(pad=4, mode="reflect", flip=True)
        Augment(pad=4, mode='reflect', flip=True)
    """

    pad: int = 0
    mode: Literal["reflect", "zero", "none"] = "none"
    flip: bool = False

    def __post_init__(self) -> None:
        """Checks that ``pad`` and ``mode`` fit each other."""
        if self.mode not in ("reflect", "zero", "none"):
            raise InvalidInput(f"Padding mode {self.mode!r} is unknown; use 'reflect', 'zero' or 'none'.")
        if self.pad < 0 or (self.pad == 0) != (self.mode == "none"):
            raise InvalidInput(
                f"pad={self.pad} does not go with mode={self.mode!r}; "
                "use a positive pad with 'reflect' or 'zero', or pad=0 with 'none'."
            )


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Images and their labels, whole, on one device.

    Args:
        images: uint8, shape [N, C, H, W]; float32 where they are rows of a table, [N, columns, 1, 1].
        labels: int64, shape [N].

    Raises:
        ValueError: If a dtype or a shape is not as above, or there is no image.

    Example:
        >>> len(Split(torch.zeros(5, 3, 32, 32, dtype=torch.uint8), torch.arange(5)))
        5
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        """Checks dtypes and shapes."""
        images, labels = self.images, self.labels
        known = images.dtype == torch.uint8 or (images.dtype == torch.float32 and images.shape[2:] == (1, 1))
        if not known or images.ndim != 4 or labels.dtype != torch.int64 or labels.ndim != 1:
            raise InvalidInput(
                "A split holds uint8 images [N, C, H, W], or float32 rows [N, C, 1, 1], and int64 labels [N]; "
                f"got {images.dtype} {list(images.shape)} and {labels.dtype} {list(labels.shape)}."
            )
        if not len(images) == len(labels) > 0:
            raise InvalidInput(
                f"A split needs one label an image and at least one; got {len(images)} and {len(labels)}."
            )

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)

    @property
    def device(self) -> torch.device:
        """Where the images are."""
        return self.images.device

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of an image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the pixels."""
        return hashlib.sha256(self.images.cpu().numpy().tobytes()).hexdigest()

    def select(self, index: Tensor) -> Split:
        """Selects the images at these positions."""
        index = index.to(self.labels.device)
        return Split(self.images[index], self.labels[index])

    def with_workers(self, workers: int) -> Split:
        """The split itself: nothing is left to decode."""
        return self

    def to(self, device: torch.device | str) -> Split:
        """The same split on another device."""
        return Split(self.images.to(device), self.labels.to(device))


def hold_out_last(split: Split, count: int) -> tuple[Split, Split]:
    """A split without its last ``count`` images, and those images: fixed, whatever the seed.

    Raises:
        ValueError: If ``count`` leaves one of the two empty.
    """
    if not 0 < count < len(split):
        raise InvalidInput(
            f"validation={count} does not divide {len(split)} training images; use 1 to {len(split) - 1}."
        )
    cut = len(split) - count
    return Split(split.images[:cut], split.labels[:cut]), Split(split.images[cut:], split.labels[cut:])
