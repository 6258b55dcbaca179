"""MNIST against torchvision's reader; compressed and broken files."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from rarefy.data import Augment, CorruptData, Splits
from rarefy.data._idx import parse_idx

Loader = Callable[..., Splits]


def test_images_and_labels_are_torchvisions(directory: Path, loaded: Loader) -> None:
    splits = loaded("mnist")
    train, test = (torchvision.datasets.MNIST(str(directory), train=train) for train in (True, False))
    assert torch.equal(torch.cat([splits.train.images, splits.validation.images])[:, 0], train.data)
    assert torch.equal(torch.cat([splits.train.labels, splits.validation.labels]), train.targets)
    assert torch.equal(splits.test.images[:, 0], test.data)
    assert [len(splits.train), len(splits.validation)] == [30, 10]
    assert splits.augment == Augment()


def test_compressed_files_and_a_plain_folder_will_do(directory: Path, loaded: Loader) -> None:
    before = loaded("mnist")
    (directory / "MNIST" / "raw").rename(directory / "mnist")
    for path in list((directory / "mnist").iterdir()):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert torch.equal(loaded("mnist").train.images, before.train.images)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_flipped_bit_is_named(compressed: bool, directory: Path, loaded: Loader) -> None:
    path = directory / "MNIST" / "raw" / "t10k-images-idx3-ubyte"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    if compressed:
        path.unlink()
        path = path.with_name(f"{path.name}.gz")
    path.write_bytes(gzip.compress(content) if compressed else content)
    with pytest.raises(CorruptData, match=f"{path.name} is corrupted: the md5 of its content is"):
        loaded("mnist")


@pytest.mark.parametrize("damage", [lambda packed: packed[:-20], lambda packed: b"no gzip", lambda packed: packed[:12]])
def test_a_download_that_broke_off_is_named(damage: Callable[[bytes], bytes], directory: Path, loaded: Loader) -> None:
    path = directory / "MNIST" / "raw" / "train-labels-idx1-ubyte"
    packed = path.with_name(f"{path.name}.gz")
    packed.write_bytes(damage(gzip.compress(path.read_bytes())))
    path.unlink()
    with pytest.raises(CorruptData, match=r"train-labels-idx1-ubyte\.gz is corrupted: it does not unpack"):
        loaded("mnist")


def test_idx_by_hand() -> None:
    content = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6])
    assert np.array_equal(parse_idx(content, Path("six")), [[1, 2, 3], [4, 5, 6]])


@pytest.mark.parametrize("content", [b"", bytes([0, 0, 8]), bytes([0, 0, 9, 1, 0, 0, 0, 1, 7]), bytes(4) + b"12"])
def test_other_content_is_refused(content: bytes) -> None:
    with pytest.raises(CorruptData, match="six is not an idx file of unsigned bytes"):
        parse_idx(content, Path("six"))
