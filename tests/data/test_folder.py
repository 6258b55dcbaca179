"""Pictures of one's own in class folders; what is held out is computed here by hashlib."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from rarefy.data import CorruptData, MissingData, ResizedCrop, Splits, StreamedSplit, load, parse

from .conftest import jpeg, png

Write = Callable[..., Path]


def read(path: Path, *, directory: Path = Path("unused"), **options: object) -> Splits:
    return load(parse(f"folder:{path}", **options), directory, torch.Generator(), workers=0)


def level(number: int) -> np.ndarray:
    """A picture that says its own number."""
    return np.full((6, 5, 3), number, np.uint8)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes class folders of pictures of one level each: ``write("photos", cat=range(10))``."""

    def build(folder: str, **classes: range) -> Path:
        for name, numbers in classes.items():
            (tmp_path / folder / name).mkdir(parents=True)
            for number in numbers:
                (tmp_path / folder / name / f"{number}.png").write_bytes(png(level(number)))
        return tmp_path / folder

    return build


def levels(splits: Splits, part: str) -> set[int]:
    return {int(image[0, 0, 0]) for image in getattr(splits, part).images}


def rank(folder: str, numbers: range) -> list[int]:
    """Numbers of a class's pictures, that with the smallest hash of its name first."""
    return sorted(numbers, key=lambda n: hashlib.blake2b(f"{folder}/{n}.png".encode(), digest_size=8).digest())


def test_pictures_with_the_smallest_hashes_of_their_names_are_held_out(write: Write) -> None:
    splits = read(write("photos", cat=range(20), dog=range(100, 130)), valid_split=0.2, test_split=0.1)
    cats, dogs = rank("cat", range(20)), rank("dog", range(100, 130))
    assert levels(splits, "validation") == {*cats[:4], *dogs[:6]}
    assert levels(splits, "test") == {*cats[4:6], *dogs[6:9]}
    assert levels(splits, "train") == {*cats[6:], *dogs[9:]}
    assert splits.spec.class_names == ("cat", "dog")
    assert splits.held_out == {"validation": 0.2, "test": 0.1}


def test_a_picture_keeps_its_split_when_others_are_added(write: Write) -> None:
    before = read(write("before", cat=range(20), dog=range(100, 120)))
    after = read(write("after", cat=range(25), dog=range(100, 120)))
    assert levels(after, "test") - set(range(20, 25)) <= levels(before, "test") | levels(before, "validation")


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val"])
def test_only_what_is_missing_is_held_out(name: str, write: Write) -> None:
    write("photos/train", cat=range(10), dog=range(100, 110))
    splits = read(write(f"photos/{name}", dog=range(200, 203)).parent, test_split=0.2)
    assert levels(splits, "validation") == {200, 201, 202}
    assert splits.validation.labels.tolist() == [1, 1, 1]  # by name: there is no cat
    assert levels(splits, "test") == {*rank("cat", range(10))[:2], *rank("dog", range(100, 110))[:2]}
    assert splits.held_out == {"test": 0.2}


def test_a_class_may_be_called_train(write: Write) -> None:
    splits = read(write("photos", bus=range(10), train=range(100, 110)))
    assert splits.spec.class_names == ("bus", "train")


def test_channels_are_normalised_by_the_training_pictures(write: Write) -> None:
    splits = read(write("photos", cat=range(20), dog=range(100, 130)))
    pixels = splits.train.images.double() / 255
    assert splits.spec.mean == pytest.approx(pixels.mean((0, 2, 3)).tolist(), rel=1e-12)
    assert splits.spec.std == pytest.approx(pixels.std((0, 2, 3), correction=0).tolist(), rel=1e-9)


def test_pictures_of_several_sizes_need_a_resolution(write: Write) -> None:
    folder = write("photos", cat=range(10), dog=range(100, 110))
    (folder / "dog" / "large.jpg").write_bytes(jpeg(1, (24, 20)))
    with pytest.raises(CorruptData, match=r"large.jpg 24 x 20. With --resolution"):
        read(folder)
    splits = read(folder, resolution=4, flip=True)
    assert isinstance(splits.train, StreamedSplit)
    assert splits.train.shape == (3, 4, 4)
    assert splits.augment == ResizedCrop(flip=True)
    assert splits.spec.resize == "crop"


def test_the_resolution_does_not_change_what_is_held_out(write: Write) -> None:
    folder = write("photos", cat=range(20), dog=range(100, 130))
    streamed = read(folder, resolution=4).test
    assert {int(image[0, 0, 0]) for image in streamed.select(torch.arange(len(streamed))).images} == levels(
        read(folder), "test"
    )


def test_a_moved_folder_is_found_below_the_data_directory_with_the_same_fingerprint(
    write: Write, tmp_path: Path
) -> None:
    folder = write("photos", cat=range(10), dog=range(100, 110))
    before = read(folder).fingerprint
    shutil.move(folder, tmp_path / "elsewhere" / "photos")
    with pytest.raises(MissingData):
        read(folder)
    assert read(folder, directory=tmp_path / "elsewhere").fingerprint == before
    (tmp_path / "elsewhere" / "photos" / "cat" / "3.png").write_bytes(png(level(4)))
    assert read(folder, directory=tmp_path / "elsewhere").fingerprint != before


def test_copies_in_two_splits_are_told(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    write("photos/train", cat=range(10), dog=range(100, 110))
    folder = write("photos/test", cat=range(8, 12), dog=range(110, 113)).parent
    read(folder)
    assert "2 of the 7 images for test are in train, too" in caplog.text


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda folder: shutil.rmtree(folder / "dog"), CorruptData, r"one class only \('cat'\)"),
        (lambda folder: (folder / "eel").mkdir(), CorruptData, "eel holds no pictures"),
        (lambda folder: shutil.copytree(folder, folder / "train"), None, ""),
        (lambda folder: (folder / "cat" / "0.png").write_text("no picture"), CorruptData, "--skip-bad-images"),
        (
            lambda folder: [(folder / "cat" / f"{n}.png").unlink() for n in range(1, 10)],
            CorruptData,
            "Class cat has 1 ",
        ),
    ],
)
def test_a_spoilt_folder_is_refused(
    spoil: Callable[[Path], object], error: type[Exception] | None, message: str, write: Write
) -> None:
    folder = write("photos", cat=range(10), dog=range(100, 110))
    spoil(folder)
    if error is None:
        assert levels(read(folder), "train") <= {*range(10), *range(100, 110)}
        return
    with pytest.raises(error, match=message):
        read(folder)


def test_other_files_are_left_out_and_told(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    folder = write("photos", cat=range(10), dog=range(100, 110))
    (folder / "cat" / "notes.txt").write_text("mine")
    with caplog.at_level(logging.WARNING):
        assert len(read(folder).train) == 16
    assert "1 .txt" in caplog.text


def test_bad_pictures_are_skipped_on_request(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    folder = write("photos", cat=range(10), dog=range(100, 110))
    (folder / "cat" / "0.png").write_text("no picture")
    splits = read(folder, skip_bad_images=True)
    assert sum(len(getattr(splits, part)) for part in ("train", "validation", "test")) == 19
    assert "0.png" in caplog.text


def test_padding_and_a_resolution_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pad=2 shifts images in memory"):
        read(tmp_path, pad=2, resolution=8)


@pytest.mark.parametrize("content", ["file", "empty", "loose"])
def test_what_is_no_folder_of_classes_is_refused(content: str, tmp_path: Path) -> None:
    place = tmp_path / "photos"
    if content == "file":
        place.write_text("")
    else:
        place.mkdir()
    if content == "loose":
        (place / "1.png").write_bytes(png(level(1)))
    with pytest.raises(MissingData if content == "empty" else CorruptData):
        read(place)
