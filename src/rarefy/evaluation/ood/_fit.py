"""The one rule by which foreign images take the shape of the in-distribution ones."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from rarefy.data import Spec
from rarefy.errors import InvalidInput

# Rec. ITU-R BT.601: luma of red, green and blue.
LUMA = (0.299, 0.587, 0.114)


def fit_to(images: Tensor, spec: Spec) -> Tensor:
    """Images with the channels and the size of a data set.

    Grey becomes colour by repetition and colour grey by its luma (ITU-R BT.601); then height and width are resized to
    the data set's, the aspect ratio left to itself, bilinear with antialiasing, and rounded to whole levels. Images
    that fit already come back bit for bit.

    Args:
        images: uint8 ``[N, C, H, W]``, C = 1 or 3.
        spec: The in-distribution data set.

    Returns:
        uint8 ``[N, spec.channels, spec.height, spec.width]``.

    Raises:
        ValueError: If one number of channels cannot be made of the other.

    Example:
        >>> spec = Spec("dots", classes=2, channels=1, height=1, width=1, mean=(0.0,), std=(1.0,))
        >>> fit_to(torch.tensor([255, 0, 0], dtype=torch.uint8).view(1, 3, 1, 1), spec).item()
        76
    """
    return torch.cat([_fit(part, spec) for part in torch.split(images, 1000)])  # a part at a time, as floats are large


def _fit(images: Tensor, spec: Spec) -> Tensor:
    channels, size = images.shape[1], (spec.height, spec.width)
    if channels == spec.channels and images.shape[2:] == size:
        return images
    pixels = images.float()
    if (channels, spec.channels) == (3, 1):
        pixels = (pixels * pixels.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    elif channels == 1:
        pixels = pixels.expand(-1, spec.channels, -1, -1)
    elif channels != spec.channels:
        raise InvalidInput(
            f"Images of {channels} channels cannot stand next to those of {spec.name}, which have {spec.channels}; "
            "grey (1) and colour (3) are converted into each other."
        )
    if pixels.shape[2:] != size:
        pixels = functional.interpolate(pixels, size, mode="bilinear", antialias=True)
    return pixels.round().clamp(0, 255).to(torch.uint8)
