"""CIFAR-100: 60,000 colour photographs of 32 x 32 pixels, 100 classes."""

from __future__ import annotations

import dataclasses

from rarefy.data._cifar import Cifar
from rarefy.data._load import DATASETS
from rarefy.data._source import Source
from rarefy.data._split import Augment


@DATASETS.register("cifar100")
@dataclasses.dataclass(frozen=True)
class Cifar100(Cifar):
    """CIFAR-100 (fine labels) from the official python archive, unpacked: ``DIR/cifar-100-python``.

    The last ``validation`` of the 50,000 training images are the validation split, whatever the seed; the paper's code
    trains on all 50,000 and picks its epoch on the test images. Training images are padded by 4 black pixels, cropped
    and flipped, as in the paper's code.

    Args:
        validation: Training images held out for validation.

    Example:
        >>> DATASETS.build("cifar100", validation=1000)
        Cifar100(validation=1000)

    References:
        Krizhevsky, 2009, Learning Multiple Layers of Features from Tiny Images.
        Liu et al., 2022, The Unreasonable Effectiveness of Random Pruning, arXiv:2202.02643, CIFAR experiments.
    """

    source = Source(
        title="CIFAR-100",
        download="and unpack cifar-100-python.tar.gz ('CIFAR-100 python version', https://www.cs.toronto.edu/~kriz/cifar.html)",
        folders=("cifar-100-python",),
        md5={
            "train": "16019d7e3df5f24257cddd939b257f8d",
            "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
            "meta": "7973b15100ade9c7d40fb424638fde48",
        },
    )
    classes = 100
    train_files = ("train",)
    test_file = "test"
    meta_file = "meta"
    labels_key = b"fine_labels"
    names_key = b"fine_label_names"
    mean = (0.5071, 0.4865, 0.4409)
    std = (0.2673, 0.2564, 0.2762)
    augment = Augment(pad=4, mode="zero", flip=True)
