"""Images of yours in one file of numpy: ``npz:FILE``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy

from rarefy.data._arrays import list_arrays, read_array
from rarefy.data._divide import Part
from rarefy.data._errors import CorruptData
from rarefy.data._files import show_path
from rarefy.data._labels import number_labels
from rarefy.data._load import DATASETS
from rarefy.data._own import OwnImages

_PREFIXES = {"train": ("", "train_"), "validation": ("val_", "validation_", "valid_"), "test": ("test_",)}


@DATASETS.register("npz")
@dataclasses.dataclass(frozen=True)
class Npz(OwnImages):
    """Arrays ``images`` and ``labels`` of an ``.npz`` file; optional ``val_images``, ``test_images``, ``class_names``.

    Images are uint8 [N, H, W, C], [N, C, H, W] or [N, H, W]; the channels are the shorter one of the second and the
    last axis. Labels are integers or names [N]. Nothing is unpickled.

    Example:
        >>> import tempfile, torch
        >>> file = Path(tempfile.mkdtemp()) / "dots.npz"
        >>> pixels = numpy.random.default_rng(0).integers(256, size=(20, 4, 4, 1), dtype=numpy.uint8)
        >>> numpy.savez(file, images=pixels, labels=numpy.arange(20) % 2)
        >>> splits = Npz(str(file))(Path("unused"), torch.Generator())
        >>> splits.train.images.shape, len(splits.validation), len(splits.test)
        (torch.Size([16, 1, 4, 4]), 2, 2)
    """

    form: ClassVar[str] = "npz:FILE"
    title: ClassVar[str] = "The .npz file of images"

    def read(self, place: Path) -> tuple[Mapping[str, Part], tuple[str, ...]]:
        """Reads the arrays."""
        shown, known = show_path(place), list_arrays(place)
        names = {split: _find_names(shown, known, split) for split in _PREFIXES}
        found = {split: pair for split, pair in names.items() if pair}
        class_names = [str(name) for name in read_array(place, "class_names")] if "class_names" in known else []
        labels, named = number_labels({s: read_array(place, pair[1]) for s, pair in found.items()}, shown, class_names)
        parts = {}
        for split, (name, _) in found.items():
            images = order_axes(read_array(place, name), f"{name!r} of {shown}")
            if len(images) != len(labels[split]):
                raise CorruptData(
                    f"{shown} has {len(images)} images and {len(labels[split])} labels of {split}; it needs one each.",
                    path=place,
                )
            parts[split] = Part.from_arrays(images, labels[split])
        return parts, named


def order_axes(images: numpy.ndarray, what: str) -> numpy.ndarray:
    """Orders the axes of images as [N, C, H, W]; raises CorruptData if they are no uint8 images.

    Example:
        >>> order_axes(numpy.zeros((5, 28, 28), numpy.uint8), "images").shape
        (5, 1, 28, 28)
    """
    if images.dtype != numpy.uint8:
        scale = "images * 255" if images.dtype.kind == "f" and images.size and images.max() <= 1 else "images"
        raise CorruptData(
            f"{what} is {images.dtype}; pixels are uint8, 0 to 255. Save ({scale}).round().astype('uint8')."
        )
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or not images.size:
        raise CorruptData(
            f"{what} has the shape {list(images.shape)}; images are [N, H, W, C], [N, C, H, W] or [N, H, W]."
        )
    first, last = images.shape[1], images.shape[3]
    if first == last:
        raise CorruptData(
            f"{what} has the shape {list(images.shape)}: its channels may be the second axis or the last, which are of "
            "equal length. Save images with fewer channels than pixels a side."
        )
    return numpy.ascontiguousarray(images if first < last else images.transpose(0, 3, 1, 2))


def _find_names(shown: str, known: list[str], split: str) -> tuple[str, str] | None:
    """Finds the names of a split's arrays; None if it has none; raises CorruptData if one of the two is missing."""
    lacking = {"images", "labels"} if split == "train" else set()
    for prefix in _PREFIXES[split]:
        pair = f"{prefix}images", f"{prefix}labels"
        if set(pair) <= set(known):
            return pair
        if set(pair) & set(known):
            lacking = set(pair) - set(known)
    if lacking:
        raise CorruptData(
            f"{shown} has the arrays {', '.join(known) or 'none'}; {' and '.join(sorted(lacking))} is missing. Save "
            "numpy.savez(FILE, images=..., labels=...), with val_images, val_labels, test_images and test_labels if "
            "there are any."
        )
    return None
