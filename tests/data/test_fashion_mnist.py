"""Fashion-MNIST against torchvision's reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torchvision

from rarefy.data import Augment, Splits

Loader = Callable[..., Splits]


def test_images_and_labels_are_torchvisions(directory: Path, loaded: Loader) -> None:
    splits = loaded("fashion_mnist")
    train = torchvision.datasets.FashionMNIST(str(directory), train=True)
    assert torch.equal(torch.cat([splits.train.images, splits.validation.images])[:, 0], train.data)
    assert torch.equal(torch.cat([splits.train.labels, splits.validation.labels]), train.targets)
    assert torch.equal(splits.test.labels, torchvision.datasets.FashionMNIST(str(directory), train=False).targets)


def test_clothes_may_be_mirrored_and_have_names(loaded: Loader) -> None:
    splits = loaded("fashion_mnist")
    assert splits.augment == Augment(pad=4, mode="zero", flip=True)
    assert list(splits.spec.class_names) == torchvision.datasets.FashionMNIST.classes
