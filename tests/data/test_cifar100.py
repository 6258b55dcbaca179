"""CIFAR-100 against torchvision's reader and the paper's recipe."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torchvision

from rarefy.data import DATASETS, Augment, Splits, cifar100, load

Loader = Callable[..., Splits]


def test_the_md5_table_is_the_official_one() -> None:
    official = torchvision.datasets.CIFAR100
    table = dict(official.train_list + official.test_list)
    assert cifar100.Cifar100.source.md5 == table


def test_images_and_fine_labels(directory: Path, loaded: Loader) -> None:
    splits = loaded("cifar100")
    with (directory / "cifar-100-python" / "train").open("rb") as file:
        entry = pickle.load(file, encoding="latin1")
    images = torch.cat([splits.train.images, splits.validation.images]).numpy()
    assert np.array_equal(images.reshape(-1, 3072), entry["data"])
    assert torch.cat([splits.train.labels, splits.validation.labels]).tolist() == entry["fine_labels"]
    assert len(splits.spec.class_names) == splits.spec.classes == 100


def test_the_papers_recipe(loaded: Loader) -> None:
    splits = loaded("cifar100")
    assert splits.augment == Augment(pad=4, mode="zero", flip=True)
    assert splits.spec.mean == (0.5071, 0.4865, 0.4409)
    assert splits.spec.std == (0.2673, 0.2564, 0.2762)


def test_the_real_archive(real: Path) -> None:
    splits = load(DATASETS.build("cifar100"), real, torch.Generator())
    assert [len(split) for split in (splits.train, splits.validation, splits.test)] == [45_000, 5_000, 10_000]
    assert splits.test.labels.bincount().tolist() == [100] * 100
    with (real / "cifar-100-python" / "meta").open("rb") as file:
        assert list(splits.spec.class_names) == pickle.load(file, encoding="latin1")["fine_label_names"]
    pixels = splits.train.images[::10].double().div(255)
    assert [round(value, 1) for value in pixels.mean((0, 2, 3)).tolist()] == [0.5, 0.5, 0.4]
