"""Fashion-MNIST: 70,000 grey pictures of clothes of 28 x 28 pixels, 10 classes."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from rarefy.data._idx import IdxDataset
from rarefy.data._load import DATASETS
from rarefy.data._source import Source
from rarefy.data._split import Augment


@DATASETS.register("fashion_mnist")
@dataclasses.dataclass(frozen=True)
class FashionMnist(IdxDataset):
    """Fashion-MNIST from its four official files, compressed or not: ``DIR/FashionMNIST/raw`` or ``DIR/fashion_mnist``.

    The last ``validation`` of the 60,000 training images are the validation split, whatever the seed. Training images
    are padded by 4 black pixels, cropped and flipped.

    Args:
        validation: Training images held out for validation.

    Example:
        >>> DATASETS.build("fashion-mnist")
        FashionMnist(validation=5000)

    References:
        Xiao, Rasul and Vollgraf, 2017, arXiv:1708.07747. The augmentation: Zhong et al., 2017, Random Erasing Data
        Augmentation, arXiv:1708.04896, section 5.
    """

    title: ClassVar[str] = "Fashion-MNIST"
    source = Source(
        title=title,
        download=(
            "train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz and "
            "t10k-labels-idx1-ubyte.gz (https://github.com/zalandoresearch/fashion-mnist)"
        ),
        folders=("FashionMNIST/raw", "fashion_mnist"),
        md5={
            "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
            "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
            "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
        },
    )
    mean = (0.2860,)
    std = (0.3530,)
    augment = Augment(pad=4, mode="zero", flip=True)
    class_names = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )
