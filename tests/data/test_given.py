"""Data that a program gives: collected, and named by their fingerprint."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset
from torchvision.datasets import FakeData
from torchvision.transforms import RandomCrop, ToTensor
from torchvision.transforms import functional as transforms

from rarefy.data import CorruptData, Given, MissingData, Split, Splits, collect_splits, load, parse, read_settings
from rarefy.errors import InvalidInput

PIXELS = np.random.default_rng(2).integers(0, 256, (40, 6, 5, 3), dtype=np.uint8)
LABELS = np.arange(40) % 2
TENSOR = torch.from_numpy(PIXELS.transpose(0, 3, 1, 2).copy())


class Items(Dataset[Any]):
    """A data set of any items."""

    def __init__(self, *items: Any, classes: Any = ()) -> None:
        self.items, self.classes = items, classes

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, number: int) -> Any:
        return self.items[number]


class Endless(IterableDataset[Any]):
    """A data set without a length."""

    def __iter__(self) -> Any:
        return iter(())


def crop(image: Image.Image) -> torch.Tensor:
    return RandomCrop(4)(transforms.to_tensor(image))


def collect(train: Any, validation: Any = None, test: Any = None, **options: Any) -> Splits:
    return collect_splits((train, validation, test), Given(**options))


ALIKE = {
    "arrays": (PIXELS, LABELS),
    "lists": (PIXELS.tolist(), LABELS.tolist()),
    "tensors": (TENSOR, torch.from_numpy(LABELS)),
    "fractions": (TENSOR / 255, torch.from_numpy(LABELS)),
    "split": Split(TENSOR, torch.from_numpy(LABELS)),
    "tensor data set": TensorDataset(TENSOR, torch.from_numpy(LABELS)),
    "pictures": Items(*((Image.fromarray(p), int(n)) for p, n in zip(PIXELS, LABELS, strict=True))),
    "ToTensor": Items(*((ToTensor()(p), int(n)) for p, n in zip(PIXELS, LABELS, strict=True))),
    "dicts": Items(*({"img": Image.fromarray(p), "label": int(n)} for p, n in zip(PIXELS, LABELS, strict=True))),
}


@pytest.mark.parametrize("form", ALIKE)
def test_all_forms_of_the_same_images_are_the_same_data(form: str) -> None:
    train = ALIKE[form]
    if form == "lists":
        train = (np.array(train[0], dtype=np.uint8), train[1])
    splits, expected = collect(train), collect(ALIKE["arrays"])
    assert splits.fingerprint == expected.fingerprint
    assert splits.spec == expected.spec
    assert splits.spec.name == f"given:{splits.fingerprint}"


def test_parts_that_are_given_stay_as_they_are() -> None:
    splits = collect((PIXELS, LABELS), (PIXELS[:4] // 2, LABELS[:4]), (PIXELS[:6] // 3, LABELS[:6]))
    assert torch.equal(splits.train.images, TENSOR)
    assert torch.equal(splits.test.images, TENSOR[:6] // 3)
    assert splits.held_out == {}
    assert collect_splits({"train": (PIXELS, LABELS)}, Given()).held_out == {"validation": 0.1, "test": 0.1}


def test_rows_of_numbers_are_a_table() -> None:
    rows = np.random.default_rng(1).normal(3, 2, (40, 7))
    splits = collect((rows, LABELS), None, (rows[:3] + 1, LABELS[:3]))
    assert np.allclose(splits.test.images.flatten(1), rows[:3] + 1)
    assert splits.train.shape == (7, 1, 1)


def test_names_and_options_come_along() -> None:
    items = [(Image.fromarray(p), int(n)) for p, n in zip(PIXELS, LABELS, strict=True)]
    splits = collect(Items(*items, classes=["no", "yes"]), pad=2, flip=True)
    assert splits.spec.class_names == ("no", "yes")
    assert (splits.augment.pad, splits.augment.flip) == (2, True)  # type: ignore[union-attr]


def test_arrays_that_cannot_be_written_to_are_taken() -> None:
    pixels = PIXELS.copy()
    pixels.flags.writeable = False
    assert collect((pixels, LABELS)).fingerprint == collect((PIXELS, LABELS)).fingerprint


@pytest.mark.slow  # its import takes seconds
@pytest.mark.skipif(importlib.util.find_spec("datasets") is None, reason="Hugging Face datasets is not installed")
def test_hugging_face_data_sets_are_taken() -> None:
    hugging = importlib.import_module("datasets")
    features = hugging.Features(image=hugging.Image(), label=hugging.ClassLabel(names=["no", "yes"]))
    pictures = [Image.fromarray(pixels) for pixels in PIXELS]
    splits = collect(hugging.Dataset.from_dict({"image": pictures, "label": LABELS.tolist()}, features=features))
    assert splits.fingerprint == collect((PIXELS, LABELS)).fingerprint
    assert splits.spec.class_names == ("no", "yes")


def test_torchvision_data_sets_are_taken() -> None:
    splits = collect(FakeData(30, (3, 8, 8), 3, transform=ToTensor()))
    assert splits.train.shape == (3, 8, 8)


@pytest.mark.parametrize(
    ("train", "error", "message"),
    [
        (None, InvalidInput, "no training part"),
        (7, InvalidInput, "is int; it is a data set"),
        (DataLoader(TensorDataset(TENSOR, TENSOR)), InvalidInput, "Of a DataLoader give its dataset"),
        (Endless(), InvalidInput, "is Endless"),
        (Items(*PIXELS), InvalidInput, r"Items of train are \(image, label\)"),
        (Items({"text": "a"}), InvalidInput, r"keys \['text'\]"),
        (FakeData(9, (3, 12, 12), 3, transform=crop), InvalidInput, "differs each"),
        (Items((PIXELS[0], 0), (PIXELS[0, :3], 1)), CorruptData, "images of one size"),
        ((TENSOR * 1.7 - 3, LABELS), CorruptData, "Leave out normalisation"),
        ((PIXELS, LABELS[:3]), CorruptData, "40 images and 3 labels"),
        ((PIXELS, LABELS + 0.5), CorruptData, "regression"),
        ((np.full((40, 3), np.nan), LABELS), CorruptData, "not finite"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused(train: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        collect(train)


@pytest.mark.parametrize("given", [(PIXELS, LABELS), [1], {"images": PIXELS}, PIXELS[:3].tolist()[:2], "abcd"])
def test_three_parts_are_needed(given: Any) -> None:
    with pytest.raises(InvalidInput, match=r"data is \(train, validation, test\)"):
        collect_splits(given, Given())


def test_a_record_can_name_them_and_not_load_them() -> None:
    dataset = parse("given:b9810cf288727668", pad=2)
    assert read_settings(dataset)["name"] == "given:b9810cf288727668"
    with pytest.raises(MissingData, match="b9810cf288727668 were given by a program"):
        load(dataset, Path("unused"), torch.Generator())
