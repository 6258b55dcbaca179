"""Encoded pictures that people bring: decoded into memory if they are of one size, else while training."""

from __future__ import annotations

import dataclasses
import logging
from typing import NoReturn

import numpy
import torch

from rarefy.data._decode import decode_picture, to_pixels
from rarefy.data._divide import Part
from rarefy.data._errors import BadPicture, CorruptData
from rarefy.data._hold_out import hash_name, pack_hashes
from rarefy.data._own import OwnImages
from rarefy.data._pictures import ResizedCrop
from rarefy.data._split import Augment
from rarefy.data._store import Store
from rarefy.data._streamed import StreamedSplit
from rarefy.errors import InvalidInput

_LOG = logging.getLogger("rarefy")
_MOST_BYTES = 1 << 32  # of decoded pictures
_SHOWN = 3
_FEW, _FEW_OF = 10, 0.1  # up to so many bad pictures, or this fraction, are skipped; more are an error


@dataclasses.dataclass(frozen=True)
class OwnPictures(OwnImages):
    """Encoded pictures of yours.

    Without ``resolution`` they have one size, and are kept in memory as they are. With it, squares of that many pixels
    are cut from them while training, at random for training as `ResizedCrop` does, in the middle for all else.

    Args:
        resolution: Pixels of a side of the square that a model sees; 0: pictures are of one size, which is kept.
        skip_bad_images: Skip pictures that cannot be decoded, naming and counting them, instead of stopping.
    """

    resolution: int = 0
    skip_bad_images: bool = False

    def __post_init__(self) -> None:
        """Checks the options' ranges."""
        super().__post_init__()
        if self.resolution < 0:
            raise InvalidInput(
                f"resolution must be at least 1, got {self.resolution}", name="resolution", value=self.resolution
            )
        if self.resolution and self.pad:
            raise InvalidInput(
                f"pad={self.pad} shifts images in memory; with resolution={self.resolution} a random part is cut from "
                "each picture. Leave one of them out.",
                name="pad",
                value=self.pad,
            )

    @property
    def augment(self) -> Augment | ResizedCrop:
        """How training images are varied."""
        return ResizedCrop(flip=self.flip) if self.resolution else super().augment

    def make_part(self, store: Store, labels: numpy.ndarray, class_names: tuple[str, ...]) -> Part:
        """Makes the part of the pictures in a store.

        Raises:
            CorruptData: If pictures that are kept in memory have several sizes, are too many or cannot be decoded.
        """
        hashes = pack_hashes((hash_name(store.key(number)) for number in range(len(labels))), len(labels))
        if not self.resolution:
            pixels, kept, bad = _decode(store)
            _report_bad(bad, len(labels), skip=self.skip_bad_images)
            return Part.from_arrays(pixels, labels[kept], hashes[kept])
        numbered = dataclasses.replace(store, labels=torch.from_numpy(labels), class_names=class_names)  # type: ignore[type-var]
        return Part(labels, hashes, lambda at: StreamedSplit(numbered, at, self.resolution, self.skip_bad_images))


def _decode(store: Store) -> tuple[numpy.ndarray, list[int], list[str]]:
    """Decodes all pictures to uint8 [N, 3, H, W]; returns them, their numbers in the store, and what could not be."""
    pixels = numpy.empty(0, numpy.uint8)
    kept: list[int] = []
    bad: list[str] = []
    for number in range(len(store.labels)):
        try:
            picture = to_pixels(decode_picture(store.read(number))).numpy()
        except (BadPicture, CorruptData, OSError) as error:
            bad.append(f"{store.place(number)} ({error})")
            continue
        if not kept:
            _require_memory(len(store.labels), picture)
            pixels = numpy.empty((len(store.labels), *picture.shape), numpy.uint8)
        elif picture.shape != pixels.shape[1:]:
            _refuse_sizes(store, kept[0], pixels[0], number, picture)
        pixels[len(kept)] = picture
        kept.append(number)
    return pixels[: len(kept)], kept, bad


def _require_memory(count: int, picture: numpy.ndarray) -> None:
    """Raises CorruptData if pictures of this size do not fit in memory."""
    if count * picture.size > _MOST_BYTES:
        _, height, width = picture.shape
        raise CorruptData(
            f"{count:,} pictures of {width} x {height} pixels take {count * picture.size / 2**30:.1f} GiB of memory. "
            "With --resolution 224, or another number of pixels, they are decoded while training."
        )


def _refuse_sizes(store: Store, first: int, one: numpy.ndarray, second: int, other: numpy.ndarray) -> NoReturn:
    sizes = [f"{picture.shape[2]} x {picture.shape[1]}" for picture in (one, other)]
    raise CorruptData(
        f"Pictures have several sizes: {store.place(first)} has {sizes[0]} pixels, {store.place(second)} {sizes[1]}. "
        "With --resolution 64, or another number of pixels, a square of that size is cut from each."
    )


def _report_bad(bad: list[str], count: int, *, skip: bool) -> None:
    """Warns of pictures that are skipped; raises CorruptData if they must not be, or are too many."""
    said = "; ".join(bad[:_SHOWN]) + (f"; and {len(bad) - _SHOWN} others" if len(bad) > _SHOWN else "")
    if bad and not skip:
        raise CorruptData(
            f"No picture can be made of {said}. Mend them or take them out, or go on without them: --skip-bad-images."
        )
    if len(bad) > max(_FEW, _FEW_OF * count) or len(bad) == count:
        raise CorruptData(f"{len(bad)} of {count} pictures cannot be read: {said}.")
    for one in bad:
        _LOG.warning("skipped bad picture %s", one)
