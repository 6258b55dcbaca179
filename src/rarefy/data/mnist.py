"""MNIST: 70,000 handwritten digits of 28 x 28 pixels, 10 classes."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from rarefy.data._idx import IdxDataset
from rarefy.data._load import DATASETS
from rarefy.data._source import Source


@DATASETS.register("mnist")
@dataclasses.dataclass(frozen=True)
class Mnist(IdxDataset):
    """MNIST from its four official files, compressed or not: ``DIR/MNIST/raw`` (torchvision's place) or ``DIR/mnist``.

    The last ``validation`` of the 60,000 training images are the validation split, whatever the seed. Nothing is
    augmented: a mirrored digit is not a digit.

    Args:
        validation: Training images held out for validation.

    Example:
        >>> DATASETS.build("mnist")
        Mnist(validation=5000)

    References:
        LeCun, Bottou, Bengio and Haffner, 1998, Gradient-Based Learning Applied to Document Recognition.
    """

    title: ClassVar[str] = "MNIST"
    source = Source(
        title=title,
        download=(
            "train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz and "
            "t10k-labels-idx1-ubyte.gz (http://yann.lecun.com/exdb/mnist/)"
        ),
        folders=("MNIST/raw", "mnist"),
        md5={
            "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
            "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
            "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
            "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
        },
    )
    mean = (0.1307,)
    std = (0.3081,)
