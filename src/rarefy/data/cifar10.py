"""CIFAR-10: 60,000 colour photographs of 32 x 32 pixels, 10 classes."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from rarefy.data._cifar import Cifar
from rarefy.data._load import DATASETS
from rarefy.data._source import Source
from rarefy.data._split import Augment


@DATASETS.register("cifar10")
@dataclasses.dataclass(frozen=True)
class Cifar10(Cifar):
    """CIFAR-10 from the official python archive, unpacked: ``DIR/cifar-10-batches-py``.

    The last ``validation`` of the 50,000 training images are the validation split, whatever the seed. Training images
    are padded by 4 reflected pixels, cropped and flipped, as in the paper's code; unlike there, validation images are
    not.

    Args:
        validation: Training images held out for validation.

    Example:
        >>> DATASETS.build("cifar10")
        Cifar10(validation=5000)

    References:
        Krizhevsky, 2009, Learning Multiple Layers of Features from Tiny Images.
        Liu et al., 2022, The Unreasonable Effectiveness of Random Pruning, arXiv:2202.02643, CIFAR experiments.
    """

    title: ClassVar[str] = "CIFAR-10"
    source = Source(
        title=title,
        download="and unpack cifar-10-python.tar.gz ('CIFAR-10 python version', https://www.cs.toronto.edu/~kriz/cifar.html)",
        folders=("cifar-10-batches-py",),
        md5={
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
            "test_batch": "40351d587109b95175f43aff81a1287e",
        },
    )
    train_files = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5")
    test_file = "test_batch"
    labels_key = b"labels"
    mean = (0.4914, 0.4822, 0.4465)
    std = (0.2023, 0.1994, 0.2010)
    class_names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    augment = Augment(pad=4, mode="reflect", flip=True)
