"""Class folders, shards and parquet files as people have them, and as they come to be damaged."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from rarefy.data import DATASETS, CorruptData, Splits, StreamedSplit, describe_splits, load, unpack_parquet


def imagenet(folder: Path) -> Splits:
    dataset = DATASETS.build("imagenet", resolution=16, valid_split=0.2)
    return load(dataset, folder, torch.Generator(), workers=0)


def keys(split: Any) -> list[str]:
    assert isinstance(split, StreamedSplit)
    return [split.store.key(number) for number in split.numbers.tolist()]


def test_pictures_in_folders_of_a_class_are_its_pictures(photographs: Path) -> None:
    flat = imagenet(photographs)
    for part in ("train", "val"):
        for place in (photographs / part).iterdir():
            deep = place / "images" / "more"
            deep.mkdir(parents=True)
            for file in list(place.glob("*.JPEG"))[::2]:
                file.rename(deep / file.name)
    nested = imagenet(photographs)
    assert nested.train.labels.bincount().tolist() == flat.train.labels.bincount().tolist()
    assert sorted(Path(key).name for key in keys(nested.test)) == sorted(Path(key).name for key in keys(flat.test))
    assert [key.split("/")[0] for key in keys(nested.test)] == [f"n{label}" for label in nested.test.labels]
    order = [tuple(key.split("/")) for key in keys(nested.test)]
    assert order == sorted(order)


def test_what_is_left_out_is_counted(photographs: Path) -> None:
    class_folder = photographs / "train" / "n1"
    for name in ("._n1_0.JPEG", ".DS_Store", "notes.txt", "more.txt", "README"):
        (class_folder / name).write_bytes(b"\0\5\x16\7")
    os.mkfifo(class_folder / "pipe.png")
    (photographs / "train" / "loose.png").write_bytes(b"")
    (photographs / "train" / "__MACOSX").mkdir()
    (class_folder / "again").symlink_to(photographs / "train")
    splits = imagenet(photographs)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (18, 6, 6)
    assert isinstance(splits.train, StreamedSplit)
    assert dict(splits.train.store.left_out) == {
        "hidden": 3, ".txt": 2, "without ending": 1, "pipe or device": 1, "outside class folders": 1, "linked twice": 1
    }  # fmt: skip
    assert describe_splits(splits) == [
        "imagenet: 18 training, 6 validation and 6 test images of 3 classes",
        "left out of train: 3 hidden, 2 .txt, 1 linked twice, 1 outside class folders, 1 pipe or device, "
        "1 of other kinds",
    ]


def test_names_that_are_not_utf_8(photographs: Path) -> None:
    for part in ("train", "val"):
        (photographs / part / "n1").rename(photographs / part / os.fsdecode(b"n\xff"))
    name = os.fsencode(photographs) + b"/train/n\xff/\xfe\xfd.JPEG"
    shutil.copy(photographs / "train/n0/n0_0.JPEG", name)
    splits = imagenet(photographs)
    assert splits.spec.class_names == ("n0", "n2", r"n\xff")
    assert splits.fingerprint
    assert splits.train.select(torch.arange(len(splits.train))).images.shape == (len(splits.train), 3, 16, 16)
    "".join(keys(splits.train)).encode("utf-8", "surrogateescape")
    Path(os.fsdecode(name)).write_bytes(b"")
    number = [*keys(splits.train), *keys(splits.validation)].index(os.fsdecode(b"n\xff/\xfe\xfd.JPEG"))
    split = splits.train if number < len(splits.train) else splits.validation
    with pytest.raises(CorruptData) as caught:
        split.select(torch.arange(len(split)))
    str(caught.value).encode("utf-8")  # a terminal can show it
    assert r"n\xff/\xfe\xfd.JPEG" in str(caught.value)


def test_a_broken_link_is_missed_and_not_left_out(photographs: Path) -> None:
    (photographs / "val/n0/n0_9.JPEG").symlink_to("nowhere")
    (photographs / "val/n0/n0_8.JPEG").symlink_to("n0_8.JPEG")
    test = imagenet(photographs).test
    assert len(test) == 8
    with pytest.raises(CorruptData, match=r"n0_9\.JPEG"):
        test.select(torch.arange(4))


def test_folders_a_thousand_deep_are_walked(photographs: Path) -> None:
    places = [photographs / "train/n0" / "/".join("d" * depth) for depth in range(1, 1200)]
    for place in places:
        place.mkdir()
    shutil.copy(photographs / "train/n0/n0_0.JPEG", places[-1])
    try:
        assert len(imagenet(photographs).train) + len(imagenet(photographs).validation) == 25
    finally:  # whoever clears up temporary folders cannot go so deep
        (places[-1] / "n0_0.JPEG").unlink()
        for place in reversed(places):
            place.rmdir()


def write_shard(path: Path, members: dict[str, bytes], **changes: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as shard:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            for field, value in changes.items():
                setattr(entry, field, value)
            shard.addfile(entry, io.BytesIO(content))


def members(labels: list[bytes]) -> dict[str, bytes]:
    file = io.BytesIO()
    Image.new("RGB", (20, 20)).save(file, "PNG")
    pairs = [{f"{n:03}.png": file.getvalue(), f"{n:03}.cls": label} for n, label in enumerate(labels)]
    return {name: content for pair in pairs for name, content in pair.items()}


LABELS = [b"0", b"0", b"0", b"1", b"1", b"1"]


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    for part in ("train", "val"):
        write_shard(tmp_path / part / "0.tar", members(LABELS))
    return tmp_path


def test_no_cut_of_a_shard_passes_for_a_shorter_one(shards: Path) -> None:
    path = shards / "train/0.tar"
    whole = path.read_bytes()
    end = len(whole.rstrip(b"\0"))
    end += -end % 512 + 1024  # the members, and the two blocks of zeros that end an archive
    for length in [*range(0, end, 509), *range(0, end, 512), end - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(CorruptData, match=r"train/0\.tar"):
            imagenet(shards)
    path.write_bytes(whole[:end])
    assert len(imagenet(shards).train) == 4


@pytest.mark.parametrize("harm", ["joined", "flipped header", "with holes", "two of a key", "hidden", "a pipe"])
def test_odd_shards(harm: str, shards: Path) -> None:
    path = shards / "train/0.tar"
    whole = path.read_bytes()
    if harm == "joined":
        path.write_bytes(whole + whole)
    elif harm == "flipped header":
        at = whole.index(b"003.png")
        path.write_bytes(whole[:at] + b"X" + whole[at + 1 :])
    elif harm == "with holes":
        write_shard(path, members(LABELS), pax_headers={"GNU.sparse.map": "0,1", "GNU.sparse.size": "99999999999"})
    elif harm == "two of a key":
        write_shard(path, members(LABELS) | {"003.jpg": b"x"})
    elif harm == "hidden":
        write_shard(path, members(LABELS) | {"._003.png": b"x", "._003.cls": b"no number", "a.json": b"{}"})
        (shards / "train/._0.tar").write_bytes(b"\0\5\x16\7")
        assert describe_splits(imagenet(shards))[1:] == ["left out of train: 2 hidden, 1 .json"]
        return
    else:
        path.unlink()
        os.mkfifo(path)
    with pytest.raises(CorruptData, match=r"train/0\.tar"):
        imagenet(shards)


@pytest.mark.parametrize(
    "label", [b"-1", b"2000000000", b"1000000000000", b"9" * 40, b"1_0", "\uff11".encode(), b"", b"1.0"]
)
def test_labels_that_are_no_classes(label: bytes, shards: Path) -> None:
    write_shard(shards / "train/0.tar", members([*LABELS, label]))
    with pytest.raises(CorruptData, match=r"train/0\.tar.*006"):
        imagenet(shards)


def test_labels_from_one_are_said(shards: Path) -> None:
    for part in ("train", "val"):
        write_shard(shards / part / "0.tar", members([b"1\n", b"1", b"1", b"2", b"2", b"2"]))
    splits = imagenet(shards)
    assert splits.spec.classes == 3
    assert "labels begin with 0, these go from 1 to 2" in describe_splits(splits)[1]


@pytest.mark.parametrize("text", [b"\xef\xbb\xbfcat\r\ndog\r\n", b"cat\ndog", b"cat\ndog\n\n"])
def test_names_of_classes(text: bytes, shards: Path) -> None:
    (shards / "classes.txt").write_bytes(text)
    assert imagenet(shards).spec.class_names == ("cat", "dog")


def test_names_of_classes_that_are_no_text(shards: Path) -> None:
    (shards / "classes.txt").write_bytes(b"cat\n\xff\n")
    with pytest.raises(CorruptData, match=r"classes\.txt"):
        imagenet(shards)


def a_bomb(path: Path) -> None:
    np.savez_compressed(path, letters=np.zeros(300_000_000, np.uint8))


@pytest.mark.parametrize("harm", [lambda path: path.write_bytes(b""), a_bomb, lambda path: np.savez(path, state="x")])
def test_an_index_that_is_none_is_made_again(
    harm: Callable[[Path], object], shards: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("RAREFY_CACHE", str(shards / "cache"))
    whole = keys(imagenet(shards).train)
    for path in (shards / "cache/shards").iterdir():
        harm(path)
    assert keys(imagenet(shards).train) == whole
    reread = caplog.text.count("reading what is in")
    assert keys(imagenet(shards).train) == whole
    assert caplog.text.count("reading what is in") == reread  # the second time it was kept


def write_parquet(folder: Path, image: list[Any], label: Any, metadata: object = None) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    (folder / "data").mkdir(exist_ok=True)
    table = pyarrow.table({"image": image, "label": label})
    if metadata is not None:
        text = metadata if isinstance(metadata, bytes) else json.dumps(metadata).encode()
        table = table.replace_schema_metadata({b"huggingface": text})
    for part in ("train", "validation"):
        parquet.write_table(table, folder / f"data/{part}-00000-of-00001.parquet")


PICTURE = members([b"0"])["000.png"]
ROWS = [{"bytes": PICTURE, "path": "a.png"}] * 6


@pytest.mark.parametrize("row", [{"bytes": None, "path": "b.png"}, None, {"bytes": b"", "path": None}])
def test_rows_without_a_picture_are_named(row: Any, tmp_path: Path) -> None:
    write_parquet(tmp_path, [*ROWS, row], [0, 0, 0, 1, 1, 1, 1])
    with pytest.raises(CorruptData, match=r"validation-.*parquet \(row 6 of row group 0\)"):
        splits = imagenet(tmp_path)
        splits.test.select(torch.arange(7))


@pytest.mark.parametrize(
    ("image", "label", "metadata"),
    [
        (["a.png"] * 6, [0, 0, 0, 1, 1, 1], None),
        ([[1, 2]] * 6, [0, 0, 0, 1, 1, 1], None),
        ([{"path": "a.png"}] * 6, [0, 0, 0, 1, 1, 1], None),
        (ROWS, [0, 0, 0, 1, 1, None], None),
        (ROWS, [0.0, 0.0, 0.0, 1.0, 1.0, 1.5], None),
        (ROWS, ["cat"] * 6, None),
        (ROWS, [0, 0, 0, 1, 1, -1], None),
        (ROWS, [0, 0, 0, 1, 1, 2_000_000_000], None),
        (ROWS, [0, 0, 0, 1, 1, 10**12], None),
        (ROWS, [0, 0, 0, 1, 1, 1], b"{"),
        (ROWS, [0, 0, 0, 1, 1, 1], b"[" * 100_000),
        (ROWS, [0, 0, 0, 1, 1, 1], [1]),
        (ROWS, [0, 0, 0, 1, 1, 1], {"info": {"features": {"label": {"names": "ab"}}}}),
        (ROWS, [0, 0, 0, 1, 1, 1], {"info": {"features": {"label": {"names": [1, 2]}}}}),
        (ROWS, [0, 0, 0, 1, 1, 1], {"info": {"features": {"label": {"names": ["one"]}}}}),
    ],
)  # fmt: skip
def test_odd_parquet_files(image: list[Any], label: list[Any], metadata: object, tmp_path: Path) -> None:
    write_parquet(tmp_path, image, label, metadata)
    with pytest.raises(CorruptData, match=r"-00000-of-00001(\.parquet|_)"):
        imagenet(tmp_path)


def test_a_parquet_file_that_claims_more_rows_than_bytes(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    rows = 5_000_000
    dictionary = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * rows, pyarrow.int8()), [b"x"])
    write_parquet(tmp_path, dictionary.cast(pyarrow.binary()), pyarrow.array([0] * rows, pyarrow.int64()))
    with pytest.raises(CorruptData, match=r"claims 5,000,000 pictures"):
        imagenet(tmp_path)


def test_unpacking_names_a_row_without_a_picture_and_leaves_no_half_shard(tmp_path: Path) -> None:
    write_parquet(tmp_path, [*ROWS, {"bytes": None, "path": "b.png"}], [0, 0, 0, 1, 1, 1, 1])
    with pytest.raises(CorruptData, match=r"row 6 of row group 0.*b\.png"):
        unpack_parquet(tmp_path, tmp_path / "tar")
    assert not list((tmp_path / "tar").glob("*/*"))
