"""Digits: the 1,797 handwritten digits of 8 x 8 pixels that come with scikit-learn; nothing to download."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

import numpy
import torch

from rarefy.data._load import DATASETS
from rarefy.data._spec import Spec
from rarefy.data._split import Augment, Split
from rarefy.data._splits import Splits


@DATASETS.register("digits")
@dataclasses.dataclass(frozen=True)
class Digits:
    """scikit-learn's handwritten digits; the data set that is always there.

    A pixel counts 0 to 16 inked dots; it is stored as 15 times that (0 to 240), which is exact in uint8. Of each class,
    in the order of the file, every fifth image is for test and the one before it for validation, whatever the seed:
    1,085 training, 357 validation and 355 test images, stratified. Nothing is augmented.

    Example:
        >>> splits = DATASETS.build("digits")(Path("unused"), torch.Generator())
        >>> splits.train.images.shape
        torch.Size([1085, 1, 8, 8])

    References:
        Alpaydin and Kaynak, 1998, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository.
    """

    spec = Spec("digits", 10, 1, 8, 8, (0.2866,), (0.3538,))

    def __call__(self, directory: Path, generator: torch.Generator) -> Splits:
        """Reads the digits from scikit-learn; looks at neither argument."""
        dots, labels = _read_digits()
        images = (dots.astype(numpy.uint8) * 15).reshape(-1, 1, 8, 8)
        turn = _position_in_class(labels) % 5
        train, validation, test = (
            Split(torch.from_numpy(images[chosen]), torch.from_numpy(labels[chosen].astype(numpy.int64)))
            for chosen in (turn < 3, turn == 3, turn == 4)
        )
        return Splits(train, validation, test, self.spec, Augment())


def _read_digits() -> tuple[numpy.ndarray, numpy.ndarray]:
    """Reads pixels and labels from scikit-learn's file, without the second that importing scikit-learn takes."""
    package = importlib.util.find_spec("sklearn")
    folders = (package and package.submodule_search_locations) or ()
    for file in (Path(folder, "datasets", "data", "digits.csv.gz") for folder in folders):
        if file.is_file():
            numbers = numpy.loadtxt(file, numpy.int64, delimiter=",")
            return numbers[:, :-1], numbers[:, -1]
    from sklearn.datasets import load_digits  # type: ignore[import-untyped, unused-ignore]

    dots, labels = load_digits(return_X_y=True)
    return dots, labels


def _position_in_class(labels: numpy.ndarray) -> numpy.ndarray:
    """For each image, how many images of its class come before it."""
    position = numpy.zeros(len(labels), dtype=numpy.int64)
    for label in numpy.unique(labels):
        members = labels == label
        position[members] = numpy.arange(members.sum())
    return position
