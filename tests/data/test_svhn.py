"""SVHN against torchvision's reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchvision

from rarefy.data import CorruptData, Splits, svhn

Loader = Callable[..., Splits]


def torchvision_reader(directory: Path, split: str) -> torchvision.datasets.SVHN:
    class Tiny(torchvision.datasets.SVHN):
        split_list = {  # noqa: RUF012
            name: ["", f"{name}_32x32.mat", svhn.Svhn.source.md5[f"{name}_32x32.mat"]] for name in ("train", "test")
        }

    return Tiny(str(directory / "svhn"), split=split)


def test_the_md5_table_is_the_official_one() -> None:
    official = torchvision.datasets.SVHN.split_list
    assert svhn.Svhn.source.md5 == {official[part][1]: official[part][2] for part in ("train", "test")}


def test_images_and_labels_are_torchvisions(directory: Path, loaded: Loader) -> None:
    splits = loaded("svhn")
    train, test = (torchvision_reader(directory, part) for part in ("train", "test"))
    ours = torch.cat([splits.train.images, splits.validation.images])
    assert torch.equal(ours, torch.from_numpy(train.data))
    assert torch.cat([splits.train.labels, splits.validation.labels]).tolist() == train.labels.tolist()
    assert splits.test.labels.tolist() == test.labels.tolist()
    assert (train.labels == 0).any()


def test_files_may_lie_in_the_data_directory_itself(directory: Path, loaded: Loader) -> None:
    assert len(loaded("svhn", at=directory / "svhn").train) == 20


def test_a_flipped_bit_is_named(directory: Path, loaded: Loader) -> None:
    path = directory / "svhn" / "test_32x32.mat"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    with pytest.raises(CorruptData, match=r"test_32x32\.mat is corrupted"):
        loaded("svhn")
