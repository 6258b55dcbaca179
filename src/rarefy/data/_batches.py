"""Batches, augmented and normalised where the images are: an epoch is a function of (streams, epoch)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from rarefy.data._splits import Augment, Spec, Split
from rarefy.rng import Streams


class Batches:
    """A split in batches of normalised images.

    The order of epoch e comes from ``streams("order", e)``. Crops and flips come from ``streams("augment", e)``, drawn
    for the whole split and indexed by an image's position in it: how an image looks in an epoch depends on neither the
    order nor the batch size. Generators run on the CPU, so that every device sees the same epoch. Nothing else is
    random, and every number is rounded element by element, so that no bit depends on the number of threads.

    Args:
        split: The images; batches are made on their device.
        spec: Mean and deviation to normalise with.
        batch_size: Images a batch; the last batch of an epoch may be smaller.
        streams: Source of order and augmentation; None keeps the split's order and augments nothing.
        augment: How images are varied; None is ``Augment()``, as they are.
        drop_last: Leave out a last batch that is smaller.

    Raises:
        ValueError: If ``batch_size`` leaves no batch, ``augment`` comes without ``streams`` or does not fit the images.

    Example:
        >>> split = Split(torch.zeros(5, 1, 2, 2, dtype=torch.uint8), torch.arange(5))
        >>> spec = Spec("dots", classes=5, channels=1, height=2, width=2, mean=(0.5,), std=(0.5,))
        >>> [labels.tolist() for _, labels in Batches(split, spec, 2).epoch(0)]
        [[0, 1], [2, 3], [4]]
        >>> batches = Batches(split, spec, 2, streams=Streams(17), augment=Augment(flip=True))
        >>> resumed = [labels.tolist() for _, labels in batches.epoch(3, start=1)]
        >>> resumed == [labels.tolist() for _, labels in batches.epoch(3)][1:]
        True
    """

    def __init__(
        self,
        split: Split,
        spec: Spec,
        batch_size: int,
        *,
        streams: Streams | None = None,
        augment: Augment | None = None,
        drop_last: bool = False,
    ) -> None:
        _check(split, spec, batch_size, streams, augment, drop_last)
        self._labels = split.labels
        self._batch_size = batch_size
        self._streams = streams
        self._augment = augment or Augment()
        self._drop_last = drop_last
        self._views = _crops(split.images, self._augment)
        mean, std = torch.tensor([spec.mean, spec.std], dtype=torch.float64, device="cpu").view(2, 1, -1, 1, 1)
        self._scale = (1 / (255 * std)).float().to(split.images.device)
        self._shift = (-mean / std).float().to(split.images.device)

    def __len__(self) -> int:
        """Batches an epoch."""
        full, rest = divmod(len(self._labels), self._batch_size)
        return full + (rest > 0 and not self._drop_last)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of an epoch, from number ``start`` on; the same ones every time.

        Args:
            epoch: Which epoch, from 0.
            start: First batch to give, 0 to ``len(self)``; the others are not computed.

        Returns:
            An iterator over (images, labels): float32 [B, C, H, W], normalised, and int64 [B].

        Raises:
            ValueError: If ``start`` is out of range.
        """
        if not 0 <= start <= len(self):
            raise ValueError(f"An epoch has {len(self)} batches; cannot start at batch {start}, use 0 to {len(self)}.")
        order, offsets, flips = self._draw(epoch)
        size = self._batch_size
        chosen = (order[batch * size : (batch + 1) * size] for batch in range(start, len(self)))
        return ((self._images(index, offsets, flips), self._labels[index]) for index in chosen)

    def _draw(self, epoch: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """The epoch's order [N], crop offsets [2, N] (down, right) and flips [N] (None: no image is flipped)."""
        count, device = len(self._labels), self._labels.device
        if self._streams is None:
            return torch.arange(count, device=device), torch.zeros(2, count, dtype=torch.int64, device=device), None
        order = torch.randperm(count, generator=self._streams("order", epoch), device="cpu")
        generator = self._streams("augment", epoch)
        offsets = torch.randint(2 * self._augment.pad + 1, (2, count), generator=generator, device="cpu")
        flips = torch.randint(2, (count,), generator=generator, device="cpu").bool() if self._augment.flip else None
        return order.to(device), offsets.to(device), None if flips is None else flips.to(device)

    def _images(self, index: Tensor, offsets: Tensor, flips: Tensor | None) -> Tensor:
        down, right = offsets[:, index]
        pixels = self._views[index, :, down, right]
        if flips is not None:
            pixels = torch.where(flips[index, None, None, None], pixels.flip(-1), pixels)
        # Two roundings, not one: a fused multiply-add is not available, or not used, in every loop and on every device.
        return pixels.to(torch.float32).mul_(self._scale).add_(self._shift)


def _crops(images: Tensor, augment: Augment) -> Tensor:
    """A view [N, C, 2 pad + 1, 2 pad + 1, H, W] of every crop of every padded image; only the padding takes memory."""
    pad = (augment.pad,) * 4
    if augment.mode == "reflect":
        images = functional.pad(images, pad, mode="reflect")
    elif augment.mode == "zero":
        images = functional.pad(images, pad)
    height, width = (size - 2 * augment.pad for size in images.shape[2:])
    return images.unfold(2, height, 1).unfold(3, width, 1)


def _check(
    split: Split, spec: Spec, batch_size: int, streams: Streams | None, augment: Augment | None, drop_last: bool
) -> None:
    channels, *size = split.images.shape[1:]
    if channels != spec.channels:
        raise ValueError(f"The split's images have {channels} channels, the spec of {spec.name} says {spec.channels}.")
    if batch_size < 1 or (drop_last and batch_size > len(split)):
        raise ValueError(
            f"batch_size={batch_size} leaves no batch of {len(split)} images; "
            f"use at least 1{f', at most {len(split)} with drop_last' if drop_last else ''}."
        )
    if streams is None and augment not in (None, Augment()):
        raise ValueError(f"{augment} needs random numbers; pass streams=Streams(seed), or leave augment out.")
    if augment is not None and augment.mode == "reflect" and augment.pad >= min(size):
        raise ValueError(f"Cannot reflect {augment.pad} pixels of {size} images; use a pad below {min(size)}.")
