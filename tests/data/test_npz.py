"""Images of one's own in a file of numpy."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rarefy.data import CorruptData, Splits, load, parse

RNG = np.random.default_rng(3)
PIXELS, LABELS = RNG.integers(0, 256, (40, 6, 5, 3), dtype=np.uint8), np.arange(40) % 2


def read(file: Path, **options: Any) -> Splits:
    return load(parse(f"npz:{file}", **options), Path("unused"), torch.Generator())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "images.npz"


def test_images_with_the_smallest_hashes_of_their_pixels_are_held_out(file: Path) -> None:
    np.savez(file, images=PIXELS, labels=LABELS)
    splits = read(file, valid_split=0.1, test_split=0.2)
    ordered = np.ascontiguousarray(PIXELS.transpose(0, 3, 1, 2))
    hashes = [hashlib.blake2b(image.tobytes(), digest_size=8).digest() for image in ordered]
    ranked = [sorted(np.flatnonzero(label == LABELS), key=hashes.__getitem__) for label in (0, 1)]
    expected = sorted(int(number) for numbers in ranked for number in numbers[2:6])
    assert np.array_equal(splits.test.images.numpy(), ordered[expected])
    assert splits.test.labels.tolist() == LABELS[expected].tolist()


def test_the_order_of_the_file_does_not_decide_what_is_held_out(file: Path) -> None:
    np.savez(file, images=PIXELS, labels=LABELS)
    test = {image.numpy().tobytes() for image in read(file).test.images}
    np.savez(file, images=PIXELS[::-1], labels=LABELS[::-1])
    assert {image.numpy().tobytes() for image in read(file).test.images} == test


def test_copies_stay_in_one_split(file: Path) -> None:
    copies = np.concatenate([PIXELS, PIXELS[:20], PIXELS[:20]])
    np.savez(file, images=copies, labels=np.concatenate([LABELS, LABELS[:20], LABELS[:20]]))
    splits = read(file, valid_split=0.3, test_split=0.3)
    rows = [{i.numpy().tobytes() for i in part.images} for part in (splits.train, splits.validation, splits.test)]
    assert not rows[0] & rows[1]
    assert not rows[0] & rows[2]
    assert not rows[1] & rows[2]


@pytest.mark.parametrize(
    ("images", "shape"),
    [
        (PIXELS, (3, 6, 5)),
        (PIXELS.transpose(0, 3, 1, 2), (3, 6, 5)),
        (PIXELS[..., :1], (1, 6, 5)),
        (PIXELS[..., 0], (1, 6, 5)),
        (RNG.integers(0, 256, (40, 13, 16, 16), dtype=np.uint8), (13, 16, 16)),
    ],
)
def test_channels_first_last_or_none(images: np.ndarray, shape: tuple[int, ...], file: Path) -> None:
    np.savez(file, images=images, labels=LABELS)
    assert read(file).train.shape == shape


@pytest.mark.parametrize("prefix", ["", "train_"])
@pytest.mark.parametrize("name", ["val", "validation", "valid"])
def test_parts_that_are_there_are_taken_as_they_are(prefix: str, name: str, file: Path) -> None:
    val = {f"{name}_images": PIXELS[:3] // 2, f"{name}_labels": LABELS[:3]}
    test = {"test_images": PIXELS[:5] // 3, "test_labels": LABELS[:5].reshape(-1, 1)}
    np.savez(file, **{f"{prefix}images": PIXELS, f"{prefix}labels": LABELS}, **val, **test)
    splits = read(file)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (40, 3, 5)
    assert splits.held_out == {}


@pytest.mark.parametrize(
    ("labels", "names", "first"),
    [
        (LABELS, (), [0, 1]),
        (LABELS * 7 + 3, ("3", "10"), [0, 1]),
        (np.array(["dog", "cat"])[LABELS], ("cat", "dog"), [1, 0]),
        (LABELS.astype(np.float32), (), [0, 1]),
        (LABELS == 1, (), [0, 1]),
        (2 * LABELS - 1, ("-1", "1"), [0, 1]),
    ],
)
def test_labels_of_any_kind_become_classes_from_0(
    labels: np.ndarray, names: tuple[str, ...], first: list[int], file: Path
) -> None:
    np.savez(file, images=PIXELS, labels=labels, val_images=PIXELS[:2], val_labels=labels[:2])
    splits = read(file)
    assert splits.spec.classes == 2
    assert splits.spec.class_names == names
    assert splits.validation.labels.tolist() == first


def test_class_names_may_come_along(file: Path) -> None:
    np.savez(file, images=PIXELS, labels=LABELS, class_names=["no", "yes", "perhaps"])
    assert read(file).spec.class_names == ("no", "yes", "perhaps")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": PIXELS}, "labels is missing"),
        ({"labels": LABELS}, "images is missing"),
        ({"images": PIXELS / 255, "labels": LABELS}, r"float64; pixels are uint8.*images \* 255"),
        ({"images": PIXELS, "labels": LABELS[:9]}, "40 images and 9 labels"),
        ({"images": PIXELS, "labels": LABELS * 0}, "one class only"),
        ({"images": PIXELS, "labels": np.eye(2)[LABELS]}, r"argmax\(1\)"),
        ({"images": PIXELS, "labels": LABELS + 0.5}, "regression"),
        ({"images": PIXELS[:, :3, :, :], "labels": LABELS}, "equal length"),
        ({"images": PIXELS.reshape(40, -1), "labels": LABELS}, r"shape \[40, 90\]"),
        ({"images": PIXELS, "labels": np.arange(40)}, "Class 0 has 1 "),
        ({"images": PIXELS, "labels": LABELS, "val_images": PIXELS}, "val_labels is missing"),
        ({"images": PIXELS, "labels": LABELS, "val_images": PIXELS, "val_labels": LABELS + 1}, "'2' in validation"),
        ({"images": PIXELS, "labels": LABELS + 1, "class_names": ["a", "b"]}, "those of train are 1 to 2"),
        ({"images": PIXELS.astype(object), "labels": LABELS}, "pickles"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(arrays: dict[str, Any], message: str, file: Path) -> None:
    np.savez(file, **arrays)
    with pytest.raises(CorruptData, match=message):
        read(file)


def test_what_is_no_archive_is_refused(file: Path) -> None:
    file.write_text("no archive")
    with pytest.raises(CorruptData, match=r"no whole \.npz file"):
        read(file)
