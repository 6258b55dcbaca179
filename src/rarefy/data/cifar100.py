"""CIFAR-100: 60,000 colour photographs of 32 x 32 pixels, 100 classes."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from rarefy.data._cifar import Cifar
from rarefy.data._load import DATASETS
from rarefy.data._source import Source
from rarefy.data._split import Augment

_CLASS_NAMES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant
flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate
poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
wardrobe whale willow_tree wolf woman worm
"""


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

    title: ClassVar[str] = "CIFAR-100"
    source = Source(
        title=title,
        download="and unpack cifar-100-python.tar.gz ('CIFAR-100 python version', https://www.cs.toronto.edu/~kriz/cifar.html)",
        folders=("cifar-100-python",),
        md5={
            "train": "16019d7e3df5f24257cddd939b257f8d",
            "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        },
    )
    classes = 100
    train_files = ("train",)
    test_file = "test"
    labels_key = b"fine_labels"
    mean = (0.5071, 0.4865, 0.4409)
    std = (0.2673, 0.2564, 0.2762)
    class_names = tuple(_CLASS_NAMES.split())
    augment = Augment(pad=4, mode="zero", flip=True)
