"""Tiny data sets in the layouts of the official archives, written by hand or by other libraries."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
import scipy.io
import torch
from PIL import Image
from pyarrow import parquet

from rarefy.data import DATASETS, Spec, Split, Splits, load

SMALL: dict[str, dict[str, Any]] = {
    **{name: {"validation": 10} for name in ("cifar10", "cifar100", "mnist", "fashion_mnist", "svhn")},
    "synthetic": {"train": 40, "test": 20},
    "imagenet": {"resolution": 16, "valid_split": 0.2},
    "csv": {"path": "own/rows.csv"},
    "folder": {"path": "own/photographs"},
    "hf": {"path": "own/table"},
    "npz": {"path": "own/images.npz"},
}
FILES = ("cifar10", "cifar100", "mnist", "fashion_mnist", "svhn")


class Python2Pickler(pickle._Pickler):
    """Writes strings as Python 2 did, which is how CIFAR's official files were written."""

    dispatch = dict(pickle._Pickler.dispatch)  # noqa: RUF012

    def save_string(self, value: str | bytes) -> None:
        data = value.encode("latin1") if isinstance(value, str) else value
        self.write(pickle.BINSTRING + struct.pack("<i", len(data)) + data)

    dispatch[str] = save_string
    dispatch[bytes] = save_string


def pickled(entry: object) -> bytes:
    buffer = io.BytesIO()
    Python2Pickler(buffer, protocol=2).dump(entry)
    return buffer.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + b"".join(struct.pack(">I", size) for size in array.shape) + array.tobytes()


def mat(images: np.ndarray, labels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {"X": images, "y": labels})
    return buffer.getvalue()


def cifar_batch(rng: np.random.Generator, count: int, key: str, classes: int) -> bytes:
    data = rng.integers(0, 256, (count, 3072), dtype=np.uint8)
    return pickled({"batch_label": "a batch", key: rng.integers(0, classes, count).tolist(), "data": data})


def idx_files(rng: np.random.Generator) -> dict[str, bytes]:
    return {
        f"{part}-{kind}-ubyte": idx(rng.integers(0, limit, (count, *shape), dtype=np.uint8))
        for part, count in (("train", 40), ("t10k", 10))
        for kind, limit, shape in (("images-idx3", 256, (28, 28)), ("labels-idx1", 10, ()))
    }


def svhn_file(rng: np.random.Generator, count: int) -> bytes:
    images = rng.integers(0, 256, (32, 32, 3, count), dtype=np.uint8)
    return mat(images, rng.integers(1, 11, (count, 1), dtype=np.uint8))


def contents(name: str) -> dict[str, bytes]:
    rng = np.random.default_rng(FILES.index(name))
    if name == "cifar10":
        batches = [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]
        return {batch: cifar_batch(rng, 12, "labels", 10) for batch in batches}
    if name == "cifar100":
        return {part: cifar_batch(rng, count, "fine_labels", 100) for part, count in (("train", 60), ("test", 12))}
    if name == "svhn":
        return {"train_32x32.mat": svhn_file(rng, 30), "test_32x32.mat": svhn_file(rng, 10)}
    return idx_files(rng)


def jpeg(seed: int, size: tuple[int, int] = (24, 20)) -> bytes:
    """A small photograph of nothing, in colour."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1] // 4, size[0] // 4, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize(size).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def class_folders(folder: Path, *, classes: int = 3, train: int = 8, val: int = 2) -> Path:
    """ImageNet in little: ``train/n0/n0_0.JPEG`` and so on, no two pictures alike."""
    for part, count in (("train", train), ("val", val)):
        for label in range(classes):
            place = folder / part / f"n{label}"
            place.mkdir(parents=True)
            for number in range(count):
                seed = 1000 * label + number + 100 * (part == "val")
                (place / f"n{label}_{number}.JPEG").write_bytes(jpeg(seed))
    return folder


def write_own_data(folder: Path) -> None:
    """A data set for each source of one's own: 60 random images or rows of three classes, no two alike."""
    rng = np.random.default_rng(7)
    pixels, labels = rng.integers(0, 256, (60, 8, 10, 3), dtype=np.uint8), np.arange(60) % 3
    folder.mkdir()
    np.savez(folder / "images.npz", images=pixels, labels=labels)
    rows = (
        f"{','.join(map(str, image[0, :4, 0]))},{'abc'[label]}" for image, label in zip(pixels, labels, strict=True)
    )
    (folder / "rows.csv").write_text("one,two,three,four,class\n" + "\n".join(rows) + "\n")
    (folder / "table").mkdir()
    encoded = [png(image) for image in pixels]
    for number, content in enumerate(encoded):
        place = folder / "photographs" / "abc"[labels[number]]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.png").write_bytes(content)
    table = pyarrow.table({"image": [{"bytes": content} for content in encoded], "label": labels})
    parquet.write_table(table, folder / "table" / "train.parquet")


def png(pixels: np.ndarray) -> bytes:
    """A picture of these pixels, [H, W, 3] or [H, W]."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A folder with ImageNet in little."""
    return class_folders(tmp_path / "photographs")


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory with every data set that is read from files; the md5 tables are those of its files."""
    for name in FILES:
        dataset: Any = DATASETS.get(name)
        files = contents(name)
        folder = tmp_path / dataset.source.folders[0]
        folder.mkdir(parents=True)
        for file, content in files.items():
            (folder / file).write_bytes(content)
        table = {file: hashlib.md5(content).hexdigest() for file, content in files.items()}
        monkeypatch.setattr(dataset, "source", dataclasses.replace(dataset.source, md5=table))
    class_folders(tmp_path / "imagenet")
    write_own_data(tmp_path / "own")
    return tmp_path


@pytest.fixture
def loaded(directory: Path) -> Callable[..., Splits]:
    """Loads a data set by name, small: ``loaded("cifar10", seed=3)``."""

    def build(name: str, *, seed: int = 17, at: Path | None = None, **options: Any) -> Splits:
        options = SMALL.get(name, {}) | options
        generator = torch.Generator().manual_seed(seed)
        return load(DATASETS.build(name, **options), at or directory, generator, workers=0)

    return build


@pytest.fixture
def real() -> Path:
    """The folder of the real data sets, where the machine has one."""
    if not os.environ.get("RAREFY_DATA"):
        pytest.skip("set RAREFY_DATA to a folder with the real CIFAR archives")
    return Path(os.environ["RAREFY_DATA"])


@pytest.fixture
def pictures() -> Callable[..., tuple[Split, Spec]]:
    """A split of random pixels whose labels are 0, 1, 2, ..., so that a batch says which images it holds."""

    def build(count: int = 37, channels: int = 3, size: int = 8) -> tuple[Split, Spec]:
        generator = torch.Generator().manual_seed(1)
        images = torch.randint(256, (count, channels, size, size), dtype=torch.uint8, generator=generator)
        mean, std = (0.1, 0.45, 0.9)[:channels], (0.2, 0.31, 0.4)[:channels]
        return Split(images, torch.arange(count)), Spec("pictures", count, channels, size, size, mean, std)

    return build


@pytest.fixture
def fits() -> Callable[[Splits], float]:
    """Test accuracy of scikit-learn's five nearest neighbours."""

    def score(splits: Splits) -> float:
        from sklearn.neighbors import KNeighborsClassifier

        train, test = ((split.images.flatten(1).numpy(), split.labels.numpy()) for split in (splits.train, splits.test))
        return float(KNeighborsClassifier(5).fit(*train).score(*test))

    return score
