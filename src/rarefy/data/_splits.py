"""The nouns of the room: what a data set is, as values."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from rarefy.errors import InvalidInput

if TYPE_CHECKING:
    from rarefy.data._pictures import ResizedCrop
    from rarefy.data._streamed import AnySplit


@dataclasses.dataclass(frozen=True)
class Spec:
    """What a model has to know about a data set.

    Args:
        name: The data set's registered name.
        classes: Number of classes; labels are 0 .. classes - 1.
        channels: Channels C of an image.
        height: Height H in pixels.
        width: Width W in pixels.
        mean: Mean of each channel, for pixels in [0, 1].
        std: Standard deviation of each channel, for pixels in [0, 1].
        class_names: A name for each label, or empty.

    Raises:
        ValueError: If ``mean`` or ``std`` does not have one number a channel, or ``class_names`` one name a class.

    Example:
        >>> spec = Spec("dots", classes=2, channels=1, height=1, width=2, mean=(0.5,), std=(0.25,))
        >>> spec.normalize(torch.tensor([[[[0.5, 1.0]]]]))
        tensor([[[[0., 2.]]]])
    """

    name: str
    classes: int
    channels: int
    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Checks that there is one mean and one deviation a channel, and one name a class."""
        if not len(self.mean) == len(self.std) == self.channels:
            raise InvalidInput(
                f"{self.name} has {self.channels} channels but {len(self.mean)} means and {len(self.std)} deviations; "
                "give one of each a channel."
            )
        if self.class_names and len(self.class_names) != self.classes:
            raise InvalidInput(
                f"{self.name} has {self.classes} classes but {len(self.class_names)} class names; "
                "give one a class, or none."
            )

    def normalize(self, pixels: Tensor) -> Tensor:
        """Pixels in [0, 1] to mean 0 and deviation 1 a channel: ``(pixels - mean) / std``.

        Args:
            pixels: Floating point, shape [N, C, H, W], in [0, 1], on any device.

        Returns:
            A new tensor of the same shape, dtype and device.
        """
        mean, std = (pixels.new_tensor(values).view(1, -1, 1, 1) for values in (self.mean, self.std))
        return (pixels - mean) / std


@dataclasses.dataclass(frozen=True)
class Augment:
    """How training images are varied: padded, cropped back to their size at random, and mirrored at random.

    Augment() leaves images as they are. Padding happens before normalisation, so a zero is a black pixel.

    Args:
        pad: Pixels added on each side before the random crop.
        mode: ``"reflect"`` mirrors the image at its border, ``"zero"`` adds black, ``"none"`` goes with ``pad=0``.
        flip: Mirror left and right with probability one half.

    Raises:
        ValueError: If ``pad`` is negative, or ``pad`` and ``mode`` do not agree on whether there is padding.

    Example:
        >>> Augment(pad=4, mode="reflect", flip=True)
        Augment(pad=4, mode='reflect', flip=True)
    """

    pad: int = 0
    mode: Literal["reflect", "zero", "none"] = "none"
    flip: bool = False

    def __post_init__(self) -> None:
        """Checks that ``pad`` and ``mode`` fit each other."""
        if self.mode not in ("reflect", "zero", "none"):
            raise InvalidInput(f"Padding mode {self.mode!r} is unknown; use 'reflect', 'zero' or 'none'.")
        if self.pad < 0 or (self.pad == 0) != (self.mode == "none"):
            raise InvalidInput(
                f"pad={self.pad} does not go with mode={self.mode!r}; "
                "use a positive pad with 'reflect' or 'zero', or pad=0 with 'none'."
            )


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Images and their labels, whole, on one device.

    Args:
        images: uint8, shape [N, C, H, W].
        labels: int64, shape [N].

    Raises:
        ValueError: If a dtype or a shape is not as above, or there is no image.

    Example:
        >>> len(Split(torch.zeros(5, 3, 32, 32, dtype=torch.uint8), torch.arange(5)))
        5
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        """Checks dtypes and shapes."""
        images, labels = self.images, self.labels
        if images.dtype != torch.uint8 or images.ndim != 4 or labels.dtype != torch.int64 or labels.ndim != 1:
            raise InvalidInput(
                "A split holds uint8 images [N, C, H, W] and int64 labels [N]; "
                f"got {images.dtype} {list(images.shape)} and {labels.dtype} {list(labels.shape)}."
            )
        if not len(images) == len(labels) > 0:
            raise InvalidInput(
                f"A split needs one label an image and at least one; got {len(images)} and {len(labels)}."
            )

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)

    @property
    def device(self) -> torch.device:
        """Where the images are."""
        return self.images.device

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of an image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the pixels."""
        return hashlib.sha256(self.images.cpu().numpy().tobytes()).hexdigest()

    def at(self, index: Tensor) -> Split:
        """The images at these positions."""
        index = index.to(self.labels.device)
        return Split(self.images[index], self.labels[index])

    def decoded_by(self, workers: int) -> Split:
        """The split itself: nothing is left to decode."""
        return self

    def to(self, device: torch.device | str) -> Split:
        """The same split on another device."""
        return Split(self.images.to(device), self.labels.to(device))


@dataclasses.dataclass(frozen=True, eq=False)
class Splits:
    """A data set: three splits with no image in common, what they are, and how the first is augmented.

    Args:
        train: What the weights learn from; the only split that is ever augmented.
        validation: What choices (an epoch, a hyperparameter) are made on.
        test: What is reported, once.
        spec: Shapes, classes and normalisation.
        augment: How ``train`` is varied.
        is_drawn: Whether images were drawn from the generator that `load` was given, and so follow from its seed.

    Example:
        >>> from pathlib import Path
        >>> from rarefy.data import DATASETS, load
        >>> splits = load(DATASETS.build("digits"), Path("data"), torch.Generator())
        >>> len(splits.train), len(splits.validation), len(splits.test)
        (1085, 357, 355)
    """

    train: AnySplit
    validation: AnySplit
    test: AnySplit
    spec: Spec
    augment: Augment | ResizedCrop
    is_drawn: bool = False

    @functools.cached_property
    def fingerprint(self) -> str | None:
        """Digest of all images and labels, 16 hexadecimal digits; None where they follow from the seed.

        Of pictures that are not in memory it covers names, labels and a sample, see `Streamed`.
        """
        if self.is_drawn:
            return None
        digest = hashlib.sha256()
        for split in (self.train, self.validation, self.test):
            digest.update(split.fingerprint.encode())
            digest.update(split.labels.cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    def to(self, device: torch.device | str) -> Splits:
        """The same data set on another device."""
        return self._each(lambda split: split.to(device))

    def decoded_by(self, workers: int) -> Splits:
        """The same data set, what is not in memory decoded by so many processes."""
        return self._each(lambda split: split.decoded_by(workers))

    def _each(self, change: Callable[[AnySplit], AnySplit]) -> Splits:
        train, validation, test = map(change, (self.train, self.validation, self.test))
        changed = dataclasses.replace(self, train=train, validation=validation, test=test)
        vars(changed).update({name: known for name, known in vars(self).items() if name == "fingerprint"})
        return changed


def hold_out_last(split: Split, count: int) -> tuple[Split, Split]:
    """A split without its last ``count`` images, and those images: fixed, whatever the seed.

    Raises:
        ValueError: If ``count`` leaves one of the two empty.
    """
    if not 0 < count < len(split):
        raise InvalidInput(
            f"validation={count} does not divide {len(split)} training images; use 1 to {len(split) - 1}."
        )
    cut = len(split) - count
    return Split(split.images[:cut], split.labels[:cut]), Split(split.images[cut:], split.labels[cut:])
