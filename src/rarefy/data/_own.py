"""Data that people bring: what all sources share. A source is a file next to this one that reads its parts."""

from __future__ import annotations

import abc
import dataclasses
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar, Literal

import numpy
import torch
from torch import Tensor

from rarefy.data._errors import MissingData
from rarefy.data._files import show_path
from rarefy.data._hold_out import hash_rows, hold_out
from rarefy.data._load import DATASETS
from rarefy.data._pictures import ResizedCrop
from rarefy.data._spec import Spec
from rarefy.data._split import Augment, Split
from rarefy.data._splits import Splits
from rarefy.data._streamed import AnySplit
from rarefy.errors import InvalidInput

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
    """

    labels: numpy.ndarray
    hashes: numpy.ndarray
    select: Callable[[Tensor], AnySplit]
    contents: numpy.ndarray | None = None

    @classmethod
    def from_arrays(cls, images: numpy.ndarray, labels: numpy.ndarray, hashes: numpy.ndarray | None = None) -> Part:
        """Makes the part of images in memory, uint8 or float32 [N, C, H, W]; by default their contents are hashed."""
        split = Split(torch.from_numpy(images), torch.from_numpy(labels))
        contents = hash_rows(images)
        return cls(labels, contents if hashes is None else hashes, split.select, contents)


@dataclasses.dataclass(frozen=True)
class OwnDataset(abc.ABC):
    """A data set at a path of yours: ``--data folder:DIR``, ``csv:FILE``, ...

    Parts that are missing are held out of the training part: of each class the ones with the smallest hashes, whatever
    the seed.

    Args:
        path: Where it is: absolute, or below the working folder or ``--data-dir``. It is written behind the name.
        valid_split: Fraction of each class held out for validation, if there is no validation part.
        test_split: Fraction of each class held out for test, if there is no test part.

    Attributes:
        form: How it is written: ``"folder:DIR"``.
        title: What it is, for messages.
    """

    path: str = ""
    valid_split: float = 0.1
    test_split: float = 0.1

    form: ClassVar[str]
    title: ClassVar[str]

    def __post_init__(self) -> None:
        """Checks the options' ranges; the path is written with ``/`` and without what does not matter."""
        object.__setattr__(self, "path", Path(self.path).as_posix() if self.path else "")
        for name in ("valid_split", "test_split"):
            if not 0 < getattr(self, name) < 1:
                raise InvalidInput(
                    f"{name} lies between 0 and 1, got {getattr(self, name)}", name=name, value=getattr(self, name)
                )

    @property
    def augment(self) -> Augment | ResizedCrop:
        """How the training part is varied."""
        return Augment()

    @property
    def name(self) -> str:
        """The name it is given by: ``folder:photos``."""
        return f"{DATASETS.name_of(self)}:{self.path}"

    @abc.abstractmethod
    def read(self, place: Path) -> tuple[Mapping[str, Part], tuple[str, ...]]:
        """Reads ``train`` and, where they are there, ``validation`` and ``test``; and the names of the classes."""

    def __call__(self, directory: Path, generator: torch.Generator) -> Splits:
        """Reads the data; draws nothing from ``generator``."""
        if not self.path:
            raise InvalidInput(f"{self.title} needs a path: --data {self.form}", name="path", value=self.path)
        parts, class_names = self.read(find_path(self.path, directory, self.title))
        return divide(self, parts, class_names)


@dataclasses.dataclass(frozen=True)
class OwnImages(OwnDataset):
    """Images at a path of yours, of which those to train on are varied only on request.

    Args:
        pad: Pixels by which training images are shifted at most, mirrored at their border.
        flip: Mirror training images left and right at random.
    """

    pad: int = 0
    flip: bool = False

    def __post_init__(self) -> None:
        """Checks the options' ranges."""
        super().__post_init__()
        Augment(pad=self.pad, mode="reflect" if self.pad else "none")  # raises if the padding is negative

    @property
    def augment(self) -> Augment | ResizedCrop:
        """How training images are varied."""
        return Augment(pad=self.pad, mode="reflect" if self.pad else "none", flip=self.flip)


def divide(dataset: OwnDataset, parts: Mapping[str, Part], class_names: tuple[str, ...]) -> Splits:
    """Divides the parts of a data set into three splits, and computes their normalisation.

    Raises:
        CorruptData: If a class has too few images to hold any out.
    """
    train = parts["train"]
    fractions = {"validation": dataset.valid_split, "test": dataset.test_split}
    missing = {name: fraction for name, fraction in fractions.items() if name not in parts}
    names = class_names.__getitem__ if class_names else str
    kept, *held = hold_out(train.labels, train.hashes, list(missing.values()), names)
    if missing:
        shares = " and ".join(f"{fraction:g} of each class for {name}" for name, fraction in missing.items())
        _LOG.info("held out of the training images, whatever the seed: %s", shares, extra={"shown": True})
    positions = {"train": kept} | dict(zip(missing, held, strict=True))
    chosen = {name: (train, at) for name, at in positions.items()}
    chosen |= {name: (part, torch.arange(len(part.labels))) for name, part in parts.items() if name != "train"}
    _warn_about_copies({name: part.contents[at] for name, (part, at) in chosen.items() if part.contents is not None})
    splits = {name: part.select(at) for name, (part, at) in chosen.items()}
    classes = len(class_names) or max(int(part.labels.max()) for part in parts.values()) + 1
    spec = Spec(
        dataset.name,
        classes,
        *splits["train"].shape,
        *measure(splits["train"]),
        class_names,
        _choose_resize(splits["train"]),
    )
    return Splits(splits["train"], splits["validation"], splits["test"], spec, dataset.augment)


def _choose_resize(split: AnySplit) -> Literal["stretch", "crop"]:
    """Chooses how other pictures become as large as these: images in memory have no rule of their own."""
    return "stretch" if isinstance(split, Split) else "crop"


def find_path(path: str, directory: Path, title: str) -> Path:
    """Finds a path that a person gave: as it is, or below the data directory; an absolute one there by its last part.

    Raises:
        MissingData: If it is nowhere; says where it was looked for.
    """
    given = Path(path).expanduser()
    places = [given, directory / (given.name if given.is_absolute() else given)]
    for place in places:
        if place.exists():
            return place
    looked = ", ".join(dict.fromkeys(show_path(place.absolute()) for place in places))
    raise MissingData(
        f"{title} {show_path(path)!r} was not found. Looked for: {looked}. If it has moved, name the folder that holds "
        "it: --data-dir DIR.",
        path=given,
    )


def _warn_about_copies(contents: Mapping[str, numpy.ndarray]) -> None:
    """Warns if images of one split are in another, too: their accuracy does not measure what was learnt."""
    names = list(contents)
    for position, name in enumerate(names):
        for other in names[:position]:
            count = int(numpy.isin(contents[name], contents[other]).sum())
            if count:
                _LOG.warning("%d of the %d images for %s are in %s, too", count, len(contents[name]), name, other)


def measure(split: AnySplit) -> tuple[tuple[float, ...], tuple[float, ...]]:
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
