"""A split that does not fit in memory: encoded pictures that worker processes decode batch by batch."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import logging
import signal
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from rarefy.data._decode import decode_picture, to_pixels
from rarefy.data._errors import BadPicture, CorruptData, MissingData
from rarefy.data._pictures import ResizedCrop, crop_center
from rarefy.data._split import Augment, Split
from rarefy.data._store import Store
from rarefy.errors import InvalidInput, RarefyError
from rarefy.rng import Streams

T = TypeVar("T")
_LOG = logging.getLogger("rarefy")
_CPU = torch.device("cpu")
_AT_ONCE = 64
_Bad = tuple[int, str]  # which of the store, why
_IN_A_ROW = 100  # bad pictures in a row after which no replacement is tried
_READ_ALL, _READ_SOME = 1000, 32  # pictures of a split that its fingerprint reads
_FEW, _FEW_OF = 10, 0.1  # up to so many bad pictures, or this fraction, are skipped; more are an error


@dataclasses.dataclass(frozen=True, eq=False)
class StreamedSplit:
    """Pictures of any size and their labels, read as squares: a `Split` for data that do not fit in memory.

    Unaugmented, a picture's shorter side is resized to 256/224 of the square, which is then cut from its middle.

    Args:
        store: Where the encoded pictures are.
        numbers: Which of them, int64 [N].
        size: Pixels of a side of the square.
        skip_bad: Whether pictures that cannot be decoded are skipped, or an error.
        workers: Processes that decode; 0: this one. They change no bit.
        device: Where batches go.
        bad: What is wrong with each bad picture met so far, by its number in the store.

    Raises:
        ValueError: If there is no picture.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from rarefy.data import DATASETS, load
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("train/cat/1.png", "train/cat/2.png", "val/cat/3.png"):
        ...     (folder / name).parent.mkdir(parents=True, exist_ok=True)
        ...     Image.new("RGB", (12, 9)).save(folder / name)
        >>> test = load(DATASETS.build("imagenet", resolution=8), folder, torch.Generator(), workers=0).test
        >>> len(test), test.select(torch.tensor([0])).images.shape
        (1, torch.Size([1, 3, 8, 8]))
    """

    store: Store
    numbers: Tensor
    size: int
    skip_bad: bool = False
    workers: int = 0
    device: torch.device = _CPU
    bad: dict[int, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks that there are pictures."""
        if not len(self.numbers):
            raise InvalidInput("A split needs at least one picture; got none.")

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.numbers)

    @property
    def labels(self) -> Tensor:
        """int64 [N], in main memory."""
        return self.store.labels[self.numbers]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of an image."""
        return 3, self.size, self.size

    @property
    def fingerprint(self) -> str:
        """SHA-256 of names, labels, size and encoded pictures: the same for the same pictures, wherever they lie.

        Nothing is decoded. Of more than 1,000 pictures 32 are read, evenly spaced; of fewer all.
        """
        names = "\n".join(self.store.key(number) for number in self.numbers.tolist())
        said = f"{self.size}\n{self.labels.tolist()}\n{names}"
        digest = hashlib.sha256(said.encode("utf-8", "surrogateescape"))
        count = len(self) if len(self) <= _READ_ALL else _READ_SOME
        for number in self.numbers[torch.arange(count) * len(self) // count].tolist():
            with contextlib.suppress(BadPicture, CorruptData, OSError):  # training reports or skips it
                digest.update(hashlib.sha256(self.store.read(number)).digest())
        return digest.hexdigest()

    def to(self, device: torch.device | str) -> StreamedSplit:
        """The same split with batches on another device."""
        return dataclasses.replace(self, device=torch.device(device))

    def with_workers(self, workers: int) -> StreamedSplit:
        """The same split with another number of worker processes; raises ValueError for one below 0."""
        if workers < 0:
            raise InvalidInput(f"workers={workers} is no number of processes; use 0 (none) or more.")
        return dataclasses.replace(self, workers=workers)

    def select(self, index: Tensor) -> Split:
        """The images at these positions, unaugmented and in memory, on the split's device."""
        batches = list(self.reader(None, None)(0, torch.split(index.cpu(), _AT_ONCE)))
        images, labels = zip(*batches, strict=True)
        return Split(torch.cat(images), torch.cat(labels))

    def reader(self, augment: Augment | ResizedCrop | None, streams: Streams | None) -> StreamedReader:
        """Builds the reader of batches; raises ValueError for `Augment` with padding, which is for images in memory."""
        if augment == Augment() or augment is None:
            return StreamedReader(self, _DecodingDataset(self.store, self.numbers, self.size))
        if not isinstance(augment, ResizedCrop):
            raise InvalidInput(f"Pictures of any size are not varied by {augment}; use ResizedCrop().")
        return StreamedReader(self, _DecodingDataset(self.store, self.numbers, self.size, augment, streams))


@dataclasses.dataclass(frozen=True, eq=False)
class _DecodingDataset(Dataset[tuple[Tensor, Tensor, list[_Bad]]]):
    """Decodes in a worker process: positions in the split -> pixels, labels and pictures that failed."""

    store: Store
    numbers: Tensor
    size: int
    augment: ResizedCrop | None = None
    streams: Streams | None = None
    epoch: int = 0

    def __getitem__(self, index: Tensor) -> tuple[Tensor, Tensor, list[_Bad]]:
        bad: list[_Bad] = []
        decoded = [image for position in index.tolist() if (image := self._image(position, bad)) is not None]
        positions = [position for position, _ in decoded]
        images = (
            torch.stack([image for _, image in decoded]) if decoded else torch.empty(0, 3, self.size, self.size).byte()
        )
        return images, self.store.labels[self.numbers[positions]], bad

    def _image(self, position: int, bad: list[_Bad]) -> tuple[int, Tensor] | None:
        """Decodes a picture; in training the next good one replaces a bad one, so that batches keep their size."""
        for other in range(position, position + (1 if self.augment is None else _IN_A_ROW)):
            at = other % len(self.numbers)
            number = int(self.numbers[at])
            try:
                return at, self._decode(self.store.read(number), at)
            except (BadPicture, CorruptData, MissingData) as error:  # gone since it was listed, for one
                bad.append((number, getattr(error, "why", "") or str(error)))
            except OSError as error:  # the disk fails
                bad.append((number, error.strerror or str(error)))
        return None

    def _decode(self, encoded: bytes, position: int) -> Tensor:
        picture = decode_picture(encoded)
        if self.augment is None or self.streams is None:
            return to_pixels(crop_center(picture, self.size))
        return to_pixels(self.augment(picture, self.size, self.streams("augment", self.epoch, position)))


@dataclasses.dataclass(frozen=True, eq=False)
class StreamedReader:
    """Batches of a streamed split, decoded ahead of their use.

    Args:
        split: The split.
        dataset: Decodes its pictures.
    """

    split: StreamedSplit
    dataset: _DecodingDataset

    def __call__(self, epoch: int, batches: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Pixels uint8 [B, 3, H, W] and labels of the pictures at the positions of each batch."""
        device = self.split.device
        loader = DataLoader(
            dataclasses.replace(self.dataset, epoch=epoch),
            batch_size=None,
            sampler=batches,
            num_workers=min(self.split.workers, len(batches)),
            pin_memory=device.type == "cuda",
            generator=torch.Generator(),  # the loader draws a seed for its workers: not from the global generator
            worker_init_fn=_ignore_signals,
        )
        copying = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        for images, labels, bad in _watch_workers(loader):
            self._report_bad(bad)
            yield _copy_to_device(images, device, copying), _copy_to_device(labels, device, copying)

    def _report_bad(self, bad: Sequence[_Bad]) -> None:
        """Logs each bad picture once; raises CorruptData if they must not be skipped, or are too many."""
        locate, seen = self.split.store.place, self.split.bad
        if bad and not self.split.skip_bad:
            raise CorruptData(
                f"No picture can be made of {'; '.join(f'{locate(number)} ({why})' for number, why in bad)}. "
                "Put it back as it was published, or go on without it: --skip-bad-images."
            )
        for number, why in bad:
            if number not in seen:
                seen[number] = why
                _LOG.warning("skipped bad picture %d: %s (%s)", len(seen), locate(number), why, extra={"noted": False})
        if len(seen) > max(_FEW, _FEW_OF * len(self.split)):
            number, why = list(seen.items())[-1]
            raise CorruptData(
                f"{len(seen)} of {len(self.split)} pictures cannot be read, the last of them {locate(number)} ({why}). "
                "--skip-bad-images is for a few; see whether the data are still where they were."
            )


class DecoderLost(RarefyError, RuntimeError):
    """A worker process that decodes pictures died; the message says how."""


def require_decoders(error: BaseException) -> None:
    """Raises DecoderLost if an error means that a worker died; torch raises it anywhere in the main thread.

    Example:
        >>> require_decoders(ValueError("of something else"))
    """
    if isinstance(error, RuntimeError) and "DataLoader worker (pid" in str(error):
        raise DecoderLost(
            f"A process that decodes pictures is gone, killed or out of memory ({str(error).strip()}). Fewer of them "
            "need less memory: --workers. In a container they need room in /dev/shm."
        ) from error


def _watch_workers(loader: Iterable[T]) -> Iterator[T]:
    """Yields what worker processes decode; raises DecoderLost if one of them has died."""
    try:
        yield from loader
    except (RuntimeError, ConnectionError, EOFError) as error:
        hung_up = not isinstance(error, RuntimeError)  # in the middle of handing a batch over
        require_decoders(RuntimeError(f"DataLoader worker (pid unknown): {error}") if hung_up else error)
        raise


def _copy_to_device(tensor: Tensor, device: torch.device, copying: torch.cuda.Stream | None) -> Tensor:
    """Copies a tensor to the device; on a GPU in a stream of its own, which overlaps with the step before."""
    if copying is None:
        return tensor.to(device)
    using = torch.cuda.current_stream(device)
    with torch.cuda.stream(copying):
        sent = tensor.to(device, non_blocking=True)
    using.wait_stream(copying)
    sent.record_stream(using)  # the allocator must not reuse its memory before the step has read it
    return sent


def _ignore_signals(worker: int) -> None:
    """Makes a worker ignore signals; the main process handles them and stops its workers."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


AnySplit = Split | StreamedSplit
