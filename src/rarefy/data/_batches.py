"""Batches, augmented and normalised where the images are: an epoch is a function of (streams, epoch)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from rarefy.data._crops import CropReader
from rarefy.data._pictures import ResizedCrop
from rarefy.data._spec import Spec
from rarefy.data._split import Augment
from rarefy.data._streamed import AnySplit, StreamedSplit
from rarefy.errors import InvalidInput
from rarefy.rng import Streams


class Batches:
    """A split in batches of normalised images.

    The order of epoch e comes from ``streams("order", e)``. Crops and flips come from ``streams("augment", e)``, drawn
    for the whole split and indexed by an image's position in it; of a split that is not in memory they come from
    ``streams("augment", e, position)``. So how an image looks in an epoch depends on neither the order, nor the batch
    size, nor the number of ranks or workers. Generators run on the CPU, so that every device sees the same epoch.
    Nothing else is random, and every number is rounded element by element, so that no bit depends on the number of
    threads.

    Args:
        split: The images; batches are made on their device. Pictures of a split that is not in memory are decoded by
            its worker processes.
        spec: Mean and deviation to normalise with.
        batch_size: Images a batch; the last batch of an epoch may be smaller.
        streams: Source of order and augmentation; None keeps the split's order and augments nothing.
        augment: How images are varied; None is ``Augment()``, as they are.
        drop_last: Leave out a last batch that is smaller.
        rank: Which of the processes that share every batch this one is; it gets a contiguous part of each, so that
            together they see the same batches for any number of processes.
        ranks: How many processes share a batch; some get nothing of a batch with fewer images than that.

    Raises:
        ValueError: If ``batch_size`` leaves no batch or not an image for each rank, ``augment`` comes without
            ``streams`` or does not fit the images, or there is no such rank.

    Example:
        >>> from rarefy.data import Split
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
        split: AnySplit,
        spec: Spec,
        batch_size: int,
        *,
        streams: Streams | None = None,
        augment: Augment | ResizedCrop | None = None,
        drop_last: bool = False,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        _check(split, spec, batch_size, streams, augment, drop_last)
        _check_ranks(batch_size, rank, ranks)
        self._labels = split.labels
        self._batch_size = batch_size
        self._streams = streams
        self._drop_last = drop_last
        self._rank, self._ranks = rank, ranks
        self._read = _build_reader(split, augment, streams)
        mean, std = torch.tensor([spec.mean, spec.std], dtype=torch.float64, device="cpu").view(2, 1, -1, 1, 1)
        self._scale = (1 / (255 * std)).float().to(split.device)
        self._shift = (-mean / std).float().to(split.device)

    def __len__(self) -> int:
        """Batches an epoch."""
        full, rest = divmod(len(self._labels), self._batch_size)
        return full + (rest > 0 and not self._drop_last)

    def size(self, batch: int) -> int:
        """Number of images in that batch, over all ranks."""
        return min(self._batch_size, len(self._labels) - batch * self._batch_size)

    def epoch(self, epoch: int, start: int = 0, stop: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of an epoch, from number ``start`` to before ``stop``; the same ones every time.

        Args:
            epoch: Which epoch, from 0.
            start: First batch to give, 0 to ``len(self)``; the others are not computed.
            stop: First batch not to give any more; None: none. Nothing is decoded ahead beyond it.

        Returns:
            An iterator over (images, labels): float32 [B, C, H, W], normalised, and int64 [B]; B is this rank's part.

        Raises:
            ValueError: If ``start`` is out of range.
        """
        if not 0 <= start <= len(self):
            raise InvalidInput(
                f"An epoch has {len(self)} batches; cannot start at batch {start}, use 0 to {len(self)}."
            )
        order, size = self._order(epoch), self._batch_size
        chosen = [self._take_part(order[batch * size : (batch + 1) * size]) for batch in range(len(self))[start:stop]]
        return ((self._normalise(pixels), labels) for pixels, labels in self._read(epoch, chosen))

    def _take_part(self, index: Tensor) -> Tensor:
        return index.tensor_split(self._ranks)[self._rank]

    def _order(self, epoch: int) -> Tensor:
        """Computes positions in the split, [N], in the epoch's order."""
        count, device = len(self._labels), self._labels.device
        if self._streams is None:
            return torch.arange(count, device=device)
        return torch.randperm(count, generator=self._streams("order", epoch), device="cpu").to(device)

    def _normalise(self, pixels: Tensor) -> Tensor:
        # Two roundings, not one: a fused multiply-add is not available, or not used, in every loop and on every device.
        return pixels.to(torch.float32).mul_(self._scale).add_(self._shift)


def _build_reader(
    split: AnySplit, augment: Augment | ResizedCrop | None, streams: Streams | None
) -> Callable[[int, Sequence[Tensor]], Iterator[tuple[Tensor, Tensor]]]:
    """Builds the reader of pixels and labels at the positions of each batch."""
    if isinstance(split, StreamedSplit):
        return split.reader(augment, streams)
    if isinstance(augment, ResizedCrop):
        raise InvalidInput(f"{augment} is for pictures of any size; images in memory are varied by Augment(pad=...).")
    return CropReader(split, augment or Augment(), streams)


def _check_ranks(batch_size: int, rank: int, ranks: int) -> None:
    if not 0 <= rank < ranks:
        raise InvalidInput(f"There is no rank {rank} among {ranks}; ranks are 0 to {ranks - 1}.")
    if batch_size < ranks:
        raise InvalidInput(
            f"batch_size={batch_size} leaves some of {ranks} processes without an image: it is shared by all of them. "
            "Use a larger batch or fewer processes."
        )


def _check(
    split: AnySplit,
    spec: Spec,
    batch_size: int,
    streams: Streams | None,
    augment: Augment | ResizedCrop | None,
    drop_last: bool,
) -> None:
    if split.shape[0] != spec.channels:
        raise InvalidInput(
            f"The split's images have {split.shape[0]} channels, the spec of {spec.name} says {spec.channels}."
        )
    if batch_size < 1 or (drop_last and batch_size > len(split)):
        raise InvalidInput(
            f"batch_size={batch_size} leaves no batch of {len(split)} images; "
            f"use at least 1{f', at most {len(split)} with drop_last' if drop_last else ''}."
        )
    if streams is None and augment not in (None, Augment()):
        raise InvalidInput(f"{augment} needs random numbers; pass streams=Streams(seed), or leave augment out.")
