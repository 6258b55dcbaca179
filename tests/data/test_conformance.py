"""What every registered data set promises."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rarefy.data import DATASETS, AnySplit, MissingData, Split, Splits, load, parse, read_settings
from rarefy.errors import UnknownName, UnknownOption
from rarefy.registry import list_file_names

from .conftest import SMALL

Loader = Callable[..., Splits]
PARTS = ("train", "validation", "test")
OWN = ("csv", "folder", "hf", "npz")
NAMES = [name for name in DATASETS.names() if name != "given"]  # which only a program can load: see test_given.py
each = pytest.mark.parametrize("name", NAMES)


def part_of(splits: Splits, part: str) -> Split:
    """A split in memory, whatever it is."""
    split: AnySplit = getattr(splits, part)
    return split.select(torch.arange(len(split)))


def rows(splits: Splits, part: str) -> set[bytes]:
    return {image.numpy().tobytes() for image in part_of(splits, part).images}


def test_every_file_is_a_registered_data_set() -> None:
    assert list_file_names("data") == DATASETS.names()
    assert set(DATASETS.names()) >= {"cifar10", "cifar100", "digits", "fashion_mnist", "mnist", "svhn", "synthetic"}


@each
def test_a_data_set_is_a_frozen_dataclass(name: str) -> None:
    dataset = DATASETS.build(name)
    assert dataclasses.is_dataclass(dataset)
    assert type(dataset).__dataclass_params__.frozen  # type: ignore[attr-defined]


@each
def test_splits_are_what_the_spec_says(name: str, loaded: Loader) -> None:
    splits = loaded(name)
    spec = splits.spec
    assert spec.name.partition(":")[0] == name
    for part in PARTS:
        split = part_of(splits, part)
        assert split.images.dtype == (torch.float32 if name == "csv" else torch.uint8)
        assert split.images.shape == (len(split), spec.channels, spec.height, spec.width)
        assert split.labels.dtype == torch.int64
        assert split.labels.shape == (len(split),)
        assert 0 <= split.labels.min() <= split.labels.max() < spec.classes


@each
def test_splits_have_no_image_in_common(name: str, loaded: Loader) -> None:
    train, validation, test = (rows(loaded(name), part) for part in PARTS)
    assert not train & validation
    assert not train & test
    assert not validation & test


@each
def test_the_same_seed_gives_the_same_splits(name: str, loaded: Loader) -> None:
    first, second = loaded(name), loaded(name)
    for part in PARTS:
        assert torch.equal(part_of(first, part).images, part_of(second, part).images)
        assert torch.equal(part_of(first, part).labels, part_of(second, part).labels)


@each
def test_only_made_up_data_depends_on_the_seed(name: str, loaded: Loader) -> None:
    first, second = loaded(name, seed=1), loaded(name, seed=2)
    same = all(torch.equal(part_of(first, part).images, part_of(second, part).images) for part in PARTS)
    assert same == (name != "synthetic")


@each
def test_loading_leaves_the_global_generator_alone(name: str, loaded: Loader) -> None:
    state = torch.random.get_rng_state()
    loaded(name)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"imagenet", *OWN}))  # whose classes are in their files
def test_the_spec_is_known_without_the_files(name: str, loaded: Loader) -> None:
    options = {"classes": 4, "channels": 1, "height": 6, "width": 5} if name == "synthetic" else {}
    assert DATASETS.build(name, **options).spec == loaded(name, **options).spec  # type: ignore[attr-defined]


@each
def test_missing_files_say_where_what_and_how(name: str, tmp_path: Path) -> None:
    if name in ("digits", "synthetic"):
        load(DATASETS.build(name), tmp_path / "nowhere", torch.Generator())
        return
    options = {"path": "mine"} if name in OWN else {}
    with pytest.raises(MissingData) as caught:
        load(DATASETS.build(name, **options), tmp_path / "nowhere", torch.Generator())
    message = str(caught.value)
    assert isinstance(caught.value, FileNotFoundError)
    hints = (str(Path("mine").absolute()),) if name in OWN else ("no such folder", "Download")
    for part in (str(tmp_path / "nowhere"), *hints, "--data-dir DIR"):
        assert part in message


@each
def test_moving_keeps_everything(name: str, loaded: Loader) -> None:
    splits = loaded(name)
    moved = splits.to("meta")
    assert (moved.spec, moved.augment) == (splits.spec, splits.augment)
    assert all(getattr(moved, part).device.type == "meta" for part in PARTS)


@each
def test_digits_are_never_mirrored(name: str, loaded: Loader) -> None:
    assert loaded(name).augment.flip == (name in ("cifar10", "cifar100", "fashion_mnist", "imagenet"))


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "mnist", "fashion_mnist", "svhn"])
@pytest.mark.parametrize("count", [0, -1, 1000])
def test_a_validation_split_that_does_not_fit_is_refused(name: str, count: int, loaded: Loader) -> None:
    with pytest.raises(ValueError, match=rf"validation={count} does not divide \d\d training images; use 1 to \d\d"):
        loaded(name, validation=count)


def test_load_refuses_a_data_set_that_breaks_its_spec(loaded: Loader) -> None:
    splits = loaded("synthetic")
    for change, message in (({"height": 31}, "its spec says"), ({"classes": 9}, "labels 0 to 9; with 9 classes")):
        broken = dataclasses.replace(splits, spec=dataclasses.replace(splits.spec, **change))
        with pytest.raises(ValueError, match=message):
            load(lambda directory, generator, broken=broken: broken, Path(), torch.Generator())


@each
def test_a_fingerprint_is_of_what_the_files_hold(name: str, loaded: Loader) -> None:
    """The same whatever the seed; none where the seed makes the images."""
    first, second = loaded(name, seed=1), loaded(name, seed=2)
    assert first.fingerprint == second.fingerprint
    assert (first.fingerprint is None) == (name == "synthetic")
    assert first.to("cpu").fingerprint == first.fingerprint
    if isinstance(first.test, Split):
        changed = dataclasses.replace(first, test=Split(first.test.images, first.test.labels.flip(0)))
        assert (changed.fingerprint == first.fingerprint) == (name == "synthetic")


@each
def test_settings_build_the_same_data_set(name: str) -> None:
    dataset = parse(name, **SMALL.get(name, {}))
    settings = read_settings(dataset)
    assert settings["name"] == (f"{name}:{SMALL[name]['path']}" if name in OWN else name)
    assert parse(**json.loads(json.dumps(settings))) == dataset


@pytest.mark.parametrize("path", ["photos", "./photos", "photos/", "photos/."])
def test_a_path_has_one_name(path: str) -> None:
    assert read_settings(parse(f"folder:{path}"))["name"] == "folder:photos"


@pytest.mark.parametrize(
    ("name", "hint"), [("photos", "--data folder:photos"), ("a.npz", "--data npz:a.npz"), ("t.csv", "--data csv:t.csv")]
)
def test_an_unknown_name_tells_how_to_bring_own_data(
    name: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for form in ("folder:DIR", "npz:FILE", "hf:DIR", "csv:FILE"):
        with pytest.raises(UnknownName, match=form) as caught:
            parse(name)
        assert hint not in str(caught.value)
    Path(name).mkdir() if name == "photos" else Path(name).touch()
    with pytest.raises(UnknownName, match=hint):
        parse(name)


@pytest.mark.parametrize("name", ["cifar10:photos", "folders:photos"])
def test_only_data_at_a_path_have_one(name: str) -> None:
    with pytest.raises(UnknownName):
        parse(name)
    with pytest.raises(UnknownOption):
        parse("folder:photos", path="photos")
