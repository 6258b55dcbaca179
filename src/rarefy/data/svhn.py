"""SVHN: 99,289 house-number digits of 32 x 32 pixels, 10 classes."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import ClassVar

import numpy
import torch

from rarefy.data._load import DATASETS
from rarefy.data._official import OfficialDataset, ReadImages
from rarefy.data._source import Source
from rarefy.data._split import Split


@DATASETS.register("svhn")
@dataclasses.dataclass(frozen=True)
class Svhn(OfficialDataset):
    """SVHN's cropped digits from its two official files, in ``DIR/svhn``, ``DIR/SVHN`` or ``DIR`` itself.

    The last ``validation`` of the 73,257 training images are the validation split, whatever the seed. The digit zero,
    label 10 in the files, is class 0. Nothing is augmented, as is usual for this data set.

    Args:
        validation: Training images held out for validation.

    Example:
        >>> DATASETS.build("svhn")
        Svhn(validation=5000)

    References:
        Netzer et al., 2011, Reading Digits in Natural Images with Unsupervised Feature Learning.
        No augmentation: Zagoruyko and Komodakis, 2016, Wide Residual Networks, arXiv:1605.07146, section 3.
    """

    title: ClassVar[str] = "SVHN"
    source = Source(
        title=title,
        download="train_32x32.mat and test_32x32.mat ('Format 2', http://ufldl.stanford.edu/housenumbers/)",
        folders=("svhn", "SVHN", "."),
        md5={
            "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
            "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
        },
    )
    shape = (3, 32, 32)
    mean = (0.4377, 0.4438, 0.4728)
    std = (0.1980, 0.2010, 0.1970)

    def read(self, folder: Path) -> ReadImages:
        """Reads the training and the test images."""
        train, test = (_parse_split(self.source.read(folder, name)) for name in ("train_32x32.mat", "test_32x32.mat"))
        return train, test


def _parse_split(content: bytes) -> Split:
    from scipy.io import loadmat  # type: ignore[import-untyped, unused-ignore]

    entry = loadmat(io.BytesIO(content), variable_names=["X", "y"])
    pixels = numpy.ascontiguousarray(entry["X"].transpose(3, 2, 0, 1))  # [H, W, C, N] in the file
    return Split(torch.from_numpy(pixels), torch.from_numpy(entry["y"].astype(numpy.int64).reshape(-1) % 10))
