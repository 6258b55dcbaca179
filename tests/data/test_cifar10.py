"""CIFAR-10 against torchvision's reader; corrupt and malicious files."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pickle
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchvision

from rarefy.data import DATASETS, Augment, CorruptData, MissingData, Splits, cifar10, load

Loader = Callable[..., Splits]


def torchvision_reader(directory: Path, *, train: bool) -> torchvision.datasets.CIFAR10:
    """torchvision's own reader with the md5 table of the tiny archive."""
    table = cifar10.Cifar10.source.md5

    class Tiny(torchvision.datasets.CIFAR10):
        train_list = [[name, table[name]] for name in cifar10.Cifar10.train_files]  # noqa: RUF012
        test_list = [["test_batch", table["test_batch"]]]  # noqa: RUF012

        def _load_meta(self) -> None:
            """Class names are not in the tiny archive."""

    return Tiny(str(directory), train=train)


def test_the_md5_table_is_the_official_one() -> None:
    official = torchvision.datasets.CIFAR10
    table = dict(official.train_list + official.test_list)
    assert cifar10.Cifar10.source.md5 == table


def test_images_and_labels_are_torchvisions(directory: Path, loaded: Loader) -> None:
    splits = loaded("cifar10")
    train, test = (torchvision_reader(directory, train=train) for train in (True, False))
    ours = torch.cat([splits.train.images, splits.validation.images]).permute(0, 2, 3, 1)
    assert torch.equal(ours, torch.from_numpy(train.data))
    assert torch.cat([splits.train.labels, splits.validation.labels]).tolist() == train.targets
    assert torch.equal(splits.test.images.permute(0, 2, 3, 1), torch.from_numpy(test.data))
    assert splits.test.labels.tolist() == test.targets


def test_the_last_images_are_for_validation(loaded: Loader) -> None:
    assert [len(split) for split in (loaded("cifar10").train, loaded("cifar10").validation)] == [50, 10]
    assert DATASETS.build("cifar10") == cifar10.Cifar10(validation=5000)


def test_the_papers_recipe(loaded: Loader) -> None:
    splits = loaded("cifar10")
    assert splits.augment == Augment(pad=4, mode="reflect", flip=True)
    assert splits.spec.mean == (0.4914, 0.4822, 0.4465)
    assert splits.spec.std == (0.2023, 0.1994, 0.2010)


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch"])
def test_a_flipped_bit_is_named(name: str, directory: Path, loaded: Loader) -> None:
    path = directory / "cifar-10-batches-py" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptData) as caught:
        loaded("cifar10")
    found, expected = hashlib.md5(content).hexdigest(), cifar10.Cifar10.source.md5[name]
    for part in (str(path), found, expected, "cifar-10-python.tar.gz"):
        assert part in str(caught.value)


def test_a_file_that_is_not_there_is_named(directory: Path, loaded: Loader) -> None:
    (directory / "cifar-10-batches-py" / "data_batch_4").unlink()
    with pytest.raises(MissingData, match=r"cifar-10-batches-py \(without data_batch_4\)"):
        loaded("cifar10")


class Malicious:
    """What a pickle can do to its reader: make a folder, here."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.folder,)


def replace_batch(directory: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts other content in a batch, and its md5 in the table."""
    (directory / "cifar-10-batches-py" / "data_batch_1").write_bytes(content)
    source = cifar10.Cifar10.source
    table = dict(source.md5) | {"data_batch_1": hashlib.md5(content).hexdigest()}
    monkeypatch.setattr(cifar10.Cifar10, "source", dataclasses.replace(source, md5=table))


def test_a_malicious_pickle_is_refused_even_if_its_md5_fits(
    directory: Path, loaded: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_batch(directory, pickle.dumps({"data": Malicious(directory / "hacked")}, protocol=2), monkeypatch)
    with pytest.raises(CorruptData, match=r"data_batch_1 is refused: it asks for (posix|nt)\.mkdir"):
        loaded("cifar10")
    assert not (directory / "hacked").exists()


@pytest.mark.parametrize("target", [b"cbuiltins\neval\n", b"cnumpy\nload\n", b"cnumpy\nfromfile\n", b"cos\nsystem\n"])
def test_no_other_name_exists(target: bytes, directory: Path, loaded: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    replace_batch(directory, target + b".", monkeypatch)
    with pytest.raises(CorruptData, match="it asks for"):
        loaded("cifar10")


@pytest.mark.parametrize(("content", "message"), [(b"", "refused"), (b"(lp0\n.", "holds a list, not a dictionary")])
def test_a_broken_pickle_is_refused(
    content: bytes, message: str, directory: Path, loaded: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_batch(directory, content, monkeypatch)
    with pytest.raises(CorruptData, match=message):
        loaded("cifar10")


def test_the_real_archive(real: Path) -> None:
    start = time.perf_counter()
    splits = load(DATASETS.build("cifar10"), real, torch.Generator())
    seconds = time.perf_counter() - start
    assert [len(split) for split in (splits.train, splits.validation, splits.test)] == [45_000, 5_000, 10_000]
    assert splits.test.labels.bincount().tolist() == [1000] * 10
    assert (splits.train.labels.bincount() + splits.validation.labels.bincount()).tolist() == [5000] * 10
    with (real / "cifar-10-batches-py" / "batches.meta").open("rb") as file:
        assert list(splits.spec.class_names) == pickle.load(file, encoding="latin1")["label_names"]
    assert splits.test.labels[:5].tolist() == [3, 8, 8, 0, 6]  # cat, ship, ship, airplane, frog
    pixels = torch.cat([splits.train.images, splits.validation.images])[::10].double().div(255)
    assert pixels.mean((0, 2, 3)).tolist() == pytest.approx(splits.spec.mean, abs=0.005)
    assert seconds < 10  # under 1 s on an idle machine; a busy one gets slack
