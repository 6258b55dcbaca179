"""Data sets that come as official training and test files."""

from __future__ import annotations

import abc
import dataclasses
from pathlib import Path
from typing import ClassVar

import torch

from rarefy.data._load import DATASETS
from rarefy.data._source import Source
from rarefy.data._spec import Spec
from rarefy.data._split import Augment, Split, hold_out_last
from rarefy.data._splits import Splits

ReadImages = tuple[Split, Split]  # all training images and the test images


@dataclasses.dataclass(frozen=True)
class OfficialDataset(abc.ABC):
    """A data set of official files; a subclass names them and reads them.

    The last ``validation`` training images are the validation split, whatever the seed.

    Args:
        validation: Training images held out for validation.

    Attributes:
        source: The files and their md5.
        classes: Number of classes.
        shape: Channels, height and width of an image.
        mean: Mean of each channel, for pixels in [0, 1].
        std: Standard deviation of each channel, for pixels in [0, 1].
        class_names: A name for each class, or empty.
        augment: How training images are varied.
    """

    validation: int = 5000

    source: ClassVar[Source]
    classes: ClassVar[int] = 10
    shape: ClassVar[tuple[int, int, int]]
    mean: ClassVar[tuple[float, ...]]
    std: ClassVar[tuple[float, ...]]
    class_names: ClassVar[tuple[str, ...]] = ()
    augment: ClassVar[Augment] = Augment()

    @abc.abstractmethod
    def read(self, folder: Path) -> ReadImages:
        """Reads the training and the test images from the files' folder."""

    @property
    def spec(self) -> Spec:
        """Shapes, classes and normalisation, known without the files."""
        return Spec(DATASETS.name_of(self), self.classes, *self.shape, self.mean, self.std, self.class_names)

    def __call__(self, directory: Path, generator: torch.Generator) -> Splits:
        """Reads the files; draws nothing from ``generator``."""
        images, test = self.read(self.source.find(directory))
        train, validation = hold_out_last(images, self.validation)
        return Splits(train, validation, test, self.spec, self.augment)
