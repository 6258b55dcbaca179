"""Converts images and pictures to the channels and size that a network takes."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from rarefy.data._decode import to_pixels
from rarefy.data._pictures import crop_center
from rarefy.data._spec import Spec
from rarefy.errors import InvalidInput

# Rec. ITU-R BT.601: luma of red, green and blue.
LUMA = (0.299, 0.587, 0.114)


def fit_images(images: Tensor, spec: Spec) -> Tensor:
    """Converts images to the channels and size of a data set.

    Grey images become colour by repetition, colour images grey by their luma (ITU-R BT.601). They are then resized to
    the height and width of the data set (bilinear, antialiased, the aspect ratio is not kept) and rounded to whole
    levels. Images that already fit are returned unchanged.

    Args:
        images: uint8 ``[N, C, H, W]``, C = 1 or 3.
        spec: What the network takes.

    Returns:
        uint8 ``[N, spec.channels, spec.height, spec.width]``.

    Raises:
        ValueError: If the number of channels cannot be converted.

    Example:
        >>> spec = Spec("dots", classes=2, channels=1, height=1, width=1, mean=(0.0,), std=(1.0,))
        >>> fit_images(torch.tensor([255, 0, 0], dtype=torch.uint8).view(1, 3, 1, 1), spec).item()
        76
    """
    return torch.cat(
        [_fit(part, spec) for part in torch.split(images, 1000)]
    )  # in parts, to bound the memory of the floats


def fit_picture(pixels: Tensor, spec: Spec) -> Tensor:
    """Converts a picture of any size as the pictures of a data set are, by its spec's rule ``resize``.

    Args:
        pixels: uint8 ``[C, H, W]``, C = 1 or 3.
        spec: What the network takes.

    Returns:
        uint8 ``[spec.channels, spec.height, spec.width]``.

    Raises:
        InvalidInput: If the number of channels cannot be converted.

    Example:
        >>> spec = Spec("dots", classes=2, channels=1, height=4, width=4, mean=(0.0,), std=(1.0,))
        >>> fit_picture(torch.full((3, 20, 30), 255, dtype=torch.uint8), spec)[0, 0]
        tensor([255, 255, 255, 255], dtype=torch.uint8)
    """
    if spec.resize == "crop" and len(pixels) in (1, 3):
        colours = pixels.expand(3, -1, -1) if len(pixels) == 1 else pixels
        pixels = to_pixels(crop_center(Image.fromarray(colours.permute(1, 2, 0).numpy()), spec.height))
    return fit_images(pixels[None], spec)[0]


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
            f"Images of {channels} channels cannot be converted to those of {spec.name}, which have {spec.channels}; "
            "only grey (1) and colour (3) are converted into each other."
        )
    if pixels.shape[2:] != size:
        pixels = functional.interpolate(pixels, size, mode="bilinear", antialias=True)
    return pixels.round().clamp(0, 255).to(torch.uint8)
