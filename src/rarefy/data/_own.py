"""Data that people bring: what all sources share. A source is a file next to this one that reads its parts."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import torch

from rarefy.data._divide import Part, divide
from rarefy.data._errors import MissingData
from rarefy.data._files import show_path
from rarefy.data._load import DATASETS
from rarefy.data._pictures import ResizedCrop
from rarefy.data._split import Augment
from rarefy.data._splits import Splits
from rarefy.errors import InvalidInput


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
    def fractions(self) -> dict[str, float]:
        """Fraction of each class that each split gets which has no part of its own."""
        return {"validation": self.valid_split, "test": self.test_split}

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
        return divide(parts, name=self.name, class_names=class_names, fractions=self.fractions, augment=self.augment)


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
