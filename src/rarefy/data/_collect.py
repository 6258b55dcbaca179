"""Collects data that a program gives, as arrays or torch data sets, into splits in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy
from PIL import Image
from torch import Tensor

from rarefy.data._divide import Part, divide
from rarefy.data._errors import CorruptData
from rarefy.data._labels import number_labels
from rarefy.data._split import Split
from rarefy.data._splits import Splits
from rarefy.data.given import Given
from rarefy.data.npz import order_axes
from rarefy.errors import InvalidInput

_SPLITS = ("train", "validation", "test")
_IMAGE_KEYS, _LABEL_KEYS = ("image", "img", "pixel_values"), ("label", "labels", "fine_label")
_TRIED = 3  # items that are read twice
_EXACT = 1e-3  # how far a level may be from a whole number


def collect_splits(given: Any, dataset: Given) -> Splits:
    """Collects ``(train, validation, test)`` into splits in memory, named by their fingerprint.

    Each part is a torch data set of ``(image, label)`` or dicts (as Hugging Face's), a pair of arrays or tensors
    ``(images, labels)``, a `Split`, or None for validation and test: these are held out of the training part. Images
    are uint8, Pillow's, or floating point in [0, 1] as ``ToTensor`` makes them of uint8; or rows of numbers,
    [N, columns].

    Args:
        given: The three parts, or a mapping with the keys train, validation and test.
        dataset: Options: what is held out, and how training images are varied.

    Raises:
        InvalidInput: If a part is of another kind, or gives another image each time it is read.
        CorruptData: If images or labels cannot be used.

    Example:
        >>> pixels, labels = numpy.random.default_rng(0).integers(256, size=(40, 8, 8, 3), dtype="uint8"), [0, 1] * 20
        >>> splits = collect_splits(((pixels, labels), None, None), Given())
        >>> splits.train.images.shape, splits.spec.name.startswith("given:")
        (torch.Size([32, 3, 8, 8]), True)
    """
    parts = {split: part for split, part in zip(_SPLITS, _name_parts(given), strict=True) if part is not None}
    if "train" not in parts:
        raise InvalidInput("data has no training part: data=(train, validation, test); only the other two may be None.")
    arrays = {split: _collect_part(part, split) for split, part in parts.items()}
    labels, class_names = number_labels({split: raw for split, (_, raw) in arrays.items()}, "data", _find_names(parts))
    for split, (images, _) in arrays.items():
        if len(images) != len(labels[split]):
            raise CorruptData(f"data has {len(images)} images and {len(labels[split])} labels for {split}.")
    made = {split: Part.from_arrays(images, labels[split]) for split, (images, _) in arrays.items()}
    splits = divide(
        made, name=dataset.name, class_names=class_names, fractions=dataset.fractions, augment=dataset.augment
    )
    return dataclasses.replace(splits, spec=dataclasses.replace(splits.spec, name=f"given:{splits.fingerprint}"))


def _name_parts(given: Any) -> tuple[Any, Any, Any]:
    """Reads the three parts, in the order of `_SPLITS`."""
    if isinstance(given, Mapping) and given.keys() <= set(_SPLITS):
        return given.get("train"), given.get("validation"), given.get("test")
    if isinstance(given, Sequence) and len(given) == len(_SPLITS):
        return given[0], given[1], given[2]
    found = f"{type(given).__name__} of {len(given)}" if isinstance(given, Sequence | Mapping) else type(given).__name__
    raise InvalidInput(
        f"data is (train, validation, test), each a torch data set or a pair (images, labels); got {found}. What is "
        "None is held out of train: data=(train, None, None).",
        name="data",
    )


def _collect_part(part: Any, split: str) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Collects the images [N, C, H, W] and the raw labels of a part."""
    if isinstance(part, Split):
        return part.images.cpu().numpy(), part.labels.cpu().numpy()
    if isinstance(part, tuple | list) and len(part) == 2:
        images, labels = (_to_array(values) for values in part)
        return _order(images, split, is_torch=isinstance(part[0], Tensor)), labels
    if not (hasattr(part, "__len__") and hasattr(part, "__getitem__")):
        raise InvalidInput(
            f"The part {split} of data is {type(part).__name__}; it is a data set with a length and numbered items, or "
            "a pair (images, labels). Of a DataLoader give its dataset.",
            name="data",
        )
    _refuse_random_items(part, split)
    items = [_read_item(part[number], split) for number in range(len(part))]
    shapes = {image.shape for image, _ in items}
    if len(shapes) != 1:
        raise CorruptData(f"The images of {split} have the shapes {sorted(shapes)[:3]}; give images of one size.")
    is_torch = isinstance(_read_item(part[0], split, raw=True)[0], Tensor)
    images = numpy.stack([image for image, _ in items])
    return _order(images, split, is_torch=is_torch), numpy.array([label for _, label in items])


def _refuse_random_items(part: Any, split: str) -> None:
    """Raises InvalidInput if an item is another one when it is read again."""
    for number in range(min(_TRIED, len(part))):
        first, second = (_read_item(part[number], split)[0] for _ in range(2))
        if first.shape != second.shape or (first != second).any():
            raise InvalidInput(
                f"Item {number} of {split} differs each time it is read. Images are read once and kept: give the "
                "data set without random transforms, and vary them here: Config(data={'name': 'given', 'flip': True}).",
                name="data",
            )


def _read_item(item: Any, split: str, *, raw: bool = False) -> tuple[Any, Any]:
    """Reads image and label of an item: a pair, or a dict."""
    if isinstance(item, Mapping):
        image = next((item[key] for key in _IMAGE_KEYS if key in item), None)
        label = next((item[key] for key in _LABEL_KEYS if key in item), None)
    else:
        image, label = item if isinstance(item, tuple | list) and len(item) == 2 else (None, None)
    if image is None or label is None:
        found = f"keys {list(item)}" if isinstance(item, Mapping) else type(item).__name__
        raise InvalidInput(
            f"Items of {split} are (image, label), or dicts with image and label; got {found}.", name="data"
        )
    return (image, label) if raw else (_to_array(image), label.item() if hasattr(label, "item") else label)


def _to_array(values: Any) -> numpy.ndarray:
    if isinstance(values, Image.Image):
        values = values if values.mode in ("L", "RGB") else values.convert("RGB")
    if isinstance(values, Tensor):
        return values.detach().cpu().numpy()
    return numpy.asarray(values)


def _order(images: numpy.ndarray, split: str, *, is_torch: bool) -> numpy.ndarray:
    """Orders images as uint8 [N, C, H, W], and rows of numbers as float32 [N, columns, 1, 1]."""
    if images.ndim == 2 and images.dtype.kind in "fiu":
        rows = images.astype(numpy.float32)
        if not numpy.isfinite(rows).all():
            raise CorruptData(f"The rows of {split} have values that are not finite; fill what is missing.")
        return rows[:, :, None, None]
    if images.dtype.kind == "f":
        levels = images * 255.0
        if not (
            numpy.abs(levels - levels.round()).max(initial=0) <= _EXACT and 0 <= levels.min() <= levels.max() <= 256
        ):
            raise CorruptData(
                f"The images of {split} are {images.dtype}, {images.min():g} to {images.max():g}; they are uint8, "
                "or fractions in [0, 1] made of uint8. Leave out normalisation: the training images decide it."
            )
        images = levels.round().astype(numpy.uint8)
    if is_torch and images.ndim == 4 and images.dtype == numpy.uint8:
        return numpy.ascontiguousarray(images)
    return order_axes(images, f"The array of {split}")


def _find_names(parts: Mapping[str, Any]) -> Sequence[str]:
    """Finds the names of the classes, as data sets of torchvision and Hugging Face have them."""
    features = getattr(parts["train"], "features", None)
    columns = [features[key] for key in _LABEL_KEYS if key in features] if isinstance(features, Mapping) else []
    names = getattr(columns[0], "names", None) if columns else getattr(parts["train"], "classes", ())
    return [str(name) for name in names] if isinstance(names, list | tuple) else ()
