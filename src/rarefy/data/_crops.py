"""Batches of a split in memory: every crop is a view of the padded images, so that a batch is one indexing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from rarefy.data._split import Augment, Split
from rarefy.errors import InvalidInput
from rarefy.rng import Streams


class CropReader:
    """Reads batches of a split in memory, cropped and flipped.

    Args:
        split: The images.
        augment: How they are varied.
        streams: Source of ``("augment", epoch)``, drawn for the whole split; None augments nothing.
    """

    def __init__(self, split: Split, augment: Augment, streams: Streams | None) -> None:
        if augment.mode == "reflect" and augment.pad >= min(split.shape[1:]):
            size = list(split.shape[1:])
            raise InvalidInput(f"Cannot reflect {augment.pad} pixels of {size} images; use a pad below {min(size)}.")
        self._labels, self._augment, self._streams = split.labels, augment, streams
        self._views = _view_crops(split.images, augment)

    def __call__(self, epoch: int, batches: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Pixels uint8 [B, C, H, W] and labels of the images at the positions of each batch."""
        offsets, flips = self._draw(epoch)
        return ((self._crop_pixels(index, offsets, flips), self._labels[index]) for index in batches)

    def _draw(self, epoch: int) -> tuple[Tensor, Tensor | None]:
        """The epoch's crop offsets [2, N] (down, right) and flips [N] (None: no image is flipped)."""
        count, device = len(self._labels), self._labels.device
        if self._streams is None:
            return torch.zeros(2, count, dtype=torch.int64, device=device), None
        generator = self._streams("augment", epoch)
        offsets = torch.randint(2 * self._augment.pad + 1, (2, count), generator=generator, device="cpu")
        flips = torch.randint(2, (count,), generator=generator, device="cpu").bool() if self._augment.flip else None
        return offsets.to(device), None if flips is None else flips.to(device)

    def _crop_pixels(self, index: Tensor, offsets: Tensor, flips: Tensor | None) -> Tensor:
        down, right = offsets[:, index]
        pixels = self._views[index, :, down, right]
        if flips is not None:
            pixels = torch.where(flips[index, None, None, None], pixels.flip(-1), pixels)
        return pixels


def _view_crops(images: Tensor, augment: Augment) -> Tensor:
    """Views every crop of every padded image, [N, C, 2 pad + 1, 2 pad + 1, H, W]; only the padding takes memory."""
    pad = (augment.pad,) * 4
    if augment.mode == "reflect":
        images = functional.pad(images, pad, mode="reflect")
    elif augment.mode == "zero":
        images = functional.pad(images, pad)
    height, width = (size - 2 * augment.pad for size in images.shape[2:])
    return images.unfold(2, height, 1).unfold(3, width, 1)
