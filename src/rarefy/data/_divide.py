"""Divides the parts of data that people bring into three splits, and measures their channels."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping
from typing import Literal

import numpy
import torch
from torch import Tensor

from rarefy.data._hold_out import hash_rows, hold_out
from rarefy.data._pictures import ResizedCrop
from rarefy.data._spec import Spec
from rarefy.data._split import Augment, Split
from rarefy.data._splits import Splits
from rarefy.data._streamed import AnySplit

_LOG = logging.getLogger("rarefy")
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_ROWS = 4096  # images at a time in sums
_CONSTANT = 1e-6  # a smaller deviation, relative to the mean, is rounding


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """The images of one split before any are held out.

    Args:
        labels: int64 [N], from 0.
        hashes: uint64 [N], by which images are held out.
        select: Makes the split of the images at some positions, int64.
        contents: uint64 [N], equal for equal images; None where they are not in memory.
        columns: Names of the columns of a table.
    """

    labels: numpy.ndarray
    hashes: numpy.ndarray
    select: Callable[[Tensor], AnySplit]
    contents: numpy.ndarray | None = None
    columns: tuple[str, ...] = ()

    @classmethod
    def from_arrays(cls, images: numpy.ndarray, labels: numpy.ndarray, hashes: numpy.ndarray | None = None) -> Part:
        """Makes the part of images in memory, uint8 or float32 [N, C, H, W]; by default their contents are hashed."""
        split = Split(torch.from_numpy(numpy.require(images, requirements=("C", "W"))), torch.from_numpy(labels))
        contents = hash_rows(images)
        return cls(labels, contents if hashes is None else hashes, split.select, contents)


def divide(
    parts: Mapping[str, Part],
    *,
    name: str,
    class_names: tuple[str, ...],
    fractions: Mapping[str, float],
    augment: Augment | ResizedCrop,
) -> Splits:
    """Divides the parts of a data set into three splits, and measures their normalisation.

    Args:
        parts: ``train`` and, where they are there, ``validation`` and ``test``.
        name: The data set's name.
        class_names: A name for each label, or empty.
        fractions: Fraction of each class that is held out for ``validation`` and for ``test`` where there is no part.
        augment: How the training split is varied.

    Raises:
        CorruptData: If a class has too few images to hold any out.
    """
    train = parts["train"]
    missing = {split: fraction for split, fraction in fractions.items() if split not in parts}
    name_class = class_names.__getitem__ if class_names else str
    kept, *held = hold_out(train.labels, train.hashes, list(missing.values()), name_class)
    chosen = {"train": (train, kept)} | {split: (train, at) for split, at in zip(missing, held, strict=True)}
    chosen |= {split: (part, torch.arange(len(part.labels))) for split, part in parts.items() if split != "train"}
    _warn_about_copies({s: part.contents[at] for s, (part, at) in chosen.items() if part.contents is not None})
    splits = {split: part.select(at) for split, (part, at) in chosen.items()}
    shape, (mean, std) = splits["train"].shape, measure_channels(splits["train"])
    classes = len(class_names) or int(train.labels.max()) + 1
    resize: Literal["stretch", "crop"] = "stretch" if isinstance(splits["train"], Split) else "crop"
    spec = Spec(name, classes, *shape, mean, std, class_names, resize, train.columns)
    return Splits(splits["train"], splits["validation"], splits["test"], spec, augment, missing)


def _warn_about_copies(contents: Mapping[str, numpy.ndarray]) -> None:
    """Warns if images of one split are in another, too: their accuracy does not measure what was learnt."""
    names = list(contents)
    for position, name in enumerate(names):
        for other in names[:position]:
            count = int(numpy.isin(contents[name], contents[other]).sum())
            if count:
                _LOG.warning("%d of the %d images for %s are in %s, too", count, len(contents[name]), name, other)


def measure_channels(split: AnySplit) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Measures mean and deviation of each channel, for pixels in [0, 1]; ImageNet's for pictures not in memory.

    Sums of pixels are exact, and none depends on the number of threads. A constant channel has the deviation 1.
    """
    if not isinstance(split, Split):
        return _IMAGENET
    images = split.images.numpy()
    wide = numpy.int64 if images.dtype == numpy.uint8 else numpy.float64
    count = len(images) * images[0, 0].size

    def add_up(change: Callable[[numpy.ndarray], numpy.ndarray]) -> numpy.ndarray:
        starts = range(0, len(images), _ROWS)
        sums: numpy.ndarray = numpy.sum(
            [change(images[s : s + _ROWS].astype(wide)).sum((0, 2, 3)) for s in starts], axis=0
        )
        return sums

    mean = add_up(lambda rows: rows) / count
    middle = numpy.round(mean).astype(wide)[:, None, None]
    variance = add_up(lambda rows: (rows - middle) ** 2) / count - (mean - middle[:, 0, 0]) ** 2
    deviation = numpy.sqrt(variance.clip(0))
    deviation[deviation <= _CONSTANT * numpy.abs(mean)] = 255
    return tuple((mean / 255).tolist()), tuple((deviation / 255).tolist())
