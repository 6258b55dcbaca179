"""ImageNet's layouts, its ways of looking at a picture, and splits that are decoded as they are asked for."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import multiprocessing
import os
import shutil
import signal
import tarfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from rarefy.data import (
    DATASETS,
    Augment,
    Batches,
    CorruptData,
    DecoderLost,
    MissingData,
    ResizedCrop,
    Split,
    Splits,
    StreamedSplit,
    draw_balanced,
    load,
    take_spaced,
    unpack_parquet,
)
from rarefy.data._shards import TarStore
from rarefy.rng import Streams

SIZE = 16


def imagenet(folder: Path, workers: int = 0, **options: Any) -> Splits:
    dataset = DATASETS.build("imagenet", **({"resolution": SIZE, "valid_split": 0.2} | options))
    return load(dataset, folder, torch.Generator(), workers=workers)


def training(splits: Splits, **options: Any) -> Batches:
    return Batches(splits.train, splits.spec, 5, streams=Streams(17), augment=splits.augment, **options)


def equal(one: Any, other: Any) -> bool:
    pairs = zip(one, other, strict=True)
    return all(torch.equal(a, b) and torch.equal(x, y) for (a, x), (b, y) in pairs)


def streamed(splits: Splits, part: str) -> StreamedSplit:
    split = getattr(splits, part)
    assert isinstance(split, StreamedSplit)
    return split


def keys(split: StreamedSplit) -> list[str]:
    return [split.store.key(number) for number in split.numbers.tolist()]


def test_a_fixed_part_of_each_class_is_held_out_and_val_is_the_test(photographs: Path) -> None:
    splits = imagenet(photographs)
    train, validation, test = (streamed(splits, part) for part in ("train", "validation", "test"))
    assert not set(keys(train)) & set(keys(validation))
    assert Counter(name.split("/")[0] for name in keys(validation)) == {"n0": 2, "n1": 2, "n2": 2}  # round(0.2 * 8)
    assert len(train) == 18
    assert keys(test) == [f"n{label}/n{label}_{number}.JPEG" for label in range(3) for number in range(2)]
    assert splits.spec.class_names == ("n0", "n1", "n2")
    for label in range(3):  # those with the smallest hashes of their names
        names = [f"n{label}/n{label}_{number}.JPEG" for number in range(8)]
        names.sort(key=lambda name: hashlib.blake2b(name.encode(), digest_size=8).digest())
        assert set(names[:2]) < set(keys(validation))
    fewer = streamed(imagenet(photographs, valid_split=0.01), "validation")
    assert set(keys(fewer)) < set(keys(validation))


def test_a_picture_is_seen_as_torchvision_sees_it(photographs: Path) -> None:
    from torchvision import transforms

    test = streamed(imagenet(photographs, resolution=14), "test")
    path = photographs / "val" / keys(test)[3]
    oracle = transforms.Compose([transforms.Resize(16), transforms.CenterCrop(14), transforms.PILToTensor()])
    assert torch.equal(test.select(torch.tensor([3])).images[0], oracle(Image.open(path).convert("RGB")))


@pytest.mark.parametrize("size", [(24, 20), (20, 24), (31, 7), (7, 31), (5, 5)])
def test_a_random_part_is_torchvision_s_resized_crop_of_a_box_within_bounds(size: tuple[int, int]) -> None:
    from torchvision.transforms import functional

    picture = Image.effect_noise(size, 80).convert("RGB")
    boxes = []
    for seed in range(30):
        numbers = torch.rand(41, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).tolist()
        left, top, right, bottom = box = ResizedCrop()._draw_box(*size, numbers)
        assert 0 <= left < right <= size[0]
        assert 0 <= top < bottom <= size[1]
        expected = functional.resized_crop(picture, top, left, bottom - top, right - left, [SIZE, SIZE])
        expected = functional.hflip(expected) if numbers[-1] < 0.5 else expected
        found = ResizedCrop()(picture, SIZE, torch.Generator().manual_seed(seed))
        assert np.array_equal(np.asarray(found), np.asarray(expected))
        boxes.append(box)
    assert len(set(boxes)) > 1 or size == (31, 7) or size == (7, 31)


def test_the_area_of_a_random_part_is_spread_evenly() -> None:
    generator = torch.Generator().manual_seed(1)
    draws = [torch.rand(41, generator=generator, dtype=torch.float64).tolist() for _ in range(2000)]
    boxes = [ResizedCrop(scale=(0.2, 0.6))._draw_box(1000, 1000, numbers) for numbers in draws]
    areas = torch.tensor([(right - left) * (bottom - top) / 1e6 for left, top, right, bottom in boxes])
    assert areas.min() >= 0.199
    assert areas.max() <= 0.601
    assert areas.mean().item() == pytest.approx(0.4, abs=0.01)


def test_an_epoch_depends_on_neither_workers_nor_ranks_nor_where_it_starts(photographs: Path) -> None:
    before = torch.get_rng_state()
    whole = list(training(imagenet(photographs)).epoch(3))
    assert len(whole) == 4
    assert equal(training(imagenet(photographs, workers=2)).epoch(3), whole)
    assert equal(training(imagenet(photographs)).epoch(3, start=2), whole[2:])
    assert equal(training(imagenet(photographs, workers=1)).epoch(3, start=1, stop=3), whole[1:3])
    for ranks in (2, 3):
        shares = [training(imagenet(photographs), rank=rank, ranks=ranks).epoch(3) for rank in range(ranks)]
        joined = [tuple(map(torch.cat, zip(*parts, strict=True))) for parts in zip(*shares, strict=True)]
        assert equal(joined, whole)
    assert torch.equal(torch.get_rng_state(), before)


def test_every_picture_comes_once_and_another_epoch_looks_elsewhere(photographs: Path) -> None:
    splits = imagenet(photographs)
    first, second = (torch.cat([images for images, _ in training(splits).epoch(epoch)]) for epoch in (0, 1))
    assert first.shape == (18, 3, SIZE, SIZE)
    assert len({image.numpy().tobytes() for image in torch.cat([first, second])}) == 36
    labels = torch.cat([labels for _, labels in training(splits).epoch(0)])
    assert labels.bincount().tolist() == [6, 6, 6]


def test_images_are_normalised(photographs: Path) -> None:
    splits = imagenet(photographs)
    images = next(Batches(splits.test, splits.spec, 6).epoch(0))[0]
    pixels = splits.test.select(torch.arange(6)).images
    assert torch.allclose(images, splits.spec.normalize(pixels / 255), atol=1e-5)


def test_a_few_are_taken_into_memory(photographs: Path) -> None:
    splits = imagenet(photographs)
    images, labels = draw_balanced(splits.train, 6, torch.Generator().manual_seed(1))
    assert images.shape == (6, 3, SIZE, SIZE)
    assert labels.tolist() == [0, 1, 2, 0, 1, 2]
    some = take_spaced(splits.test, 3)
    assert isinstance(some, Split)
    assert some.labels.tolist() == [0, 1, 2]


def nothing_in_it(file: Path) -> None:
    file.write_bytes(b"no picture")


@pytest.mark.parametrize(
    ("harm", "why"), [(nothing_in_it, "no known image format .*"), (Path.unlink, "No such file or directory")]
)
@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_picture_is_an_error_that_names_it(
    harm: Callable[[Path], None], why: str, workers: int, photographs: Path
) -> None:
    splits = imagenet(photographs, workers=workers)
    harm(photographs / "val/n1/n1_0.JPEG")
    with pytest.raises(
        CorruptData, match=rf"No picture can be made of .*val/n1/n1_0\.JPEG \({why}\).*--skip-bad-images"
    ):
        list(Batches(splits.test, splits.spec, 4).epoch(0))


def test_bad_pictures_are_skipped_named_and_counted(photographs: Path, caplog: pytest.LogCaptureFixture) -> None:
    splits = imagenet(photographs, skip_bad_images=True)
    kept = keys(streamed(splits, "train"))
    whole = (photographs / "train" / kept[0]).read_bytes()
    (photographs / "train" / kept[0]).write_bytes(whole[: len(whole) // 2])
    (photographs / "val/n1/n1_0.JPEG").unlink()
    with caplog.at_level(logging.WARNING, logger="rarefy"):
        assert [len(labels) for _, labels in training(splits).epoch(0)] == [5, 5, 5, 3]
        assert [labels.tolist() for _, labels in Batches(splits.test, splits.spec, 4).epoch(0)] == [[0, 0, 1], [2, 2]]
        list(training(splits).epoch(1))
    assert [record.getMessage().split(" (")[0] for record in caplog.records] == [
        f"skipped bad picture 1: {photographs / 'train' / kept[0]}",
        f"skipped bad picture 1: {photographs / 'val/n1/n1_0.JPEG'}",
    ]


def test_many_bad_pictures_are_no_accident(photographs: Path) -> None:
    splits = imagenet(photographs, skip_bad_images=True)
    (photographs / "train").rename(photographs / "unmounted")
    with pytest.raises(
        CorruptData, match=r"18 of 18 pictures cannot be read, the last .*train/n.*see whether the data"
    ):
        list(training(splits).epoch(0))


def add(shard: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    shard.addfile(entry, io.BytesIO(content))


def as_shards(photographs: Path, folder: Path) -> None:
    for part in ("train", "val"):
        files = sorted((photographs / part).glob("*/*"))
        (folder / part).mkdir(parents=True)
        for number, some in enumerate((files[::2], files[1::2])):
            with tarfile.open(folder / part / f"{number:04}.tar", "w") as shard:
                for file in some:
                    add(shard, f"{file.stem}.jpg", file.read_bytes())
                    add(shard, f"{file.stem}.cls", file.parent.name[1:].encode())


def as_parquet(photographs: Path, folder: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    names = {"info": {"features": {"label": {"names": ["n0", "n1", "n2"], "_type": "ClassLabel"}}}}
    (folder / "data").mkdir(parents=True)
    for part in ("train", "val"):
        files = sorted((photographs / part).glob("*/*"))
        columns = {
            "image": [{"bytes": file.read_bytes(), "path": file.name} for file in files],
            "label": [int(file.parent.name[1:]) for file in files],
        }
        table = pyarrow.table(columns).replace_schema_metadata({b"huggingface": json.dumps(names).encode()})
        stem = "validation" if part == "val" else part
        parquet.write_table(table, folder / f"data/{stem}-00000-of-00001.parquet", row_group_size=4)


@pytest.mark.parametrize("written", [as_shards, as_parquet])
def test_other_layouts_hold_the_same_pictures(
    written: Callable[[Path, Path], None], photographs: Path, tmp_path: Path
) -> None:
    written(photographs, tmp_path / "other")
    ours, theirs = imagenet(photographs), imagenet(tmp_path / "other", workers=1)
    assert (len(theirs.train), len(theirs.validation), len(theirs.test)) == (18, 6, 6)

    def pictures(splits: Splits, *parts: str) -> set[tuple[int, bytes]]:
        splits_of = [getattr(splits, part) for part in parts]
        found = [split.select(torch.arange(len(split))) for split in splits_of]
        pairs = [pair for some in found for pair in zip(some.images, some.labels, strict=True)]
        return {(int(label), image.numpy().tobytes()) for image, label in pairs}

    assert pictures(theirs, "test") == pictures(ours, "test")
    assert pictures(theirs, "train", "validation") == pictures(ours, "train", "validation")


def forbidden(*arguments: object, **options: object) -> None:
    raise AssertionError("the headers were read again")


def test_what_shards_hold_is_read_once(photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_shards(photographs, tmp_path / "tar")
    first = keys(streamed(imagenet(tmp_path / "tar"), "train"))
    with monkeypatch.context() as patch:
        patch.setattr(tarfile, "open", forbidden)
        splits = imagenet(tmp_path / "tar")
        assert keys(streamed(splits, "train")) == first
        assert splits.train.select(torch.arange(3)).images.shape == (3, 3, SIZE, SIZE)
        os.utime(tmp_path / "tar/train/0001.tar", ns=(0, 0))
        with pytest.raises(CorruptData, match="read again"):  # a shard that changed
            imagenet(tmp_path / "tar")


def no_index(path: Path) -> None:
    path.write_bytes(b"PK, but no archive")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize("harm", [no_index, cut])
def test_a_damaged_index_is_named_and_made_again(
    harm: Callable[[Path], None],
    photographs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("RAREFY_CACHE", str(tmp_path / "cache"))
    as_shards(photographs, tmp_path / "tar")
    first = keys(streamed(imagenet(tmp_path / "tar"), "test"))
    for path in (tmp_path / "cache/shards").iterdir():
        harm(path)
    assert keys(streamed(imagenet(tmp_path / "tar"), "test")) == first
    assert caplog.text.count("is damaged") == 2
    monkeypatch.setattr(tarfile, "open", forbidden)
    imagenet(tmp_path / "tar")


def test_a_cache_that_cannot_be_written_is_no_reason_to_stop(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("RAREFY_CACHE", str(tmp_path / "file"))
    as_shards(photographs, tmp_path / "tar")
    assert len(imagenet(tmp_path / "tar").test) == 6
    assert "the next run reads them again" in caplog.text


def test_unpacked_parquet_is_the_same_data_set(photographs: Path, tmp_path: Path) -> None:
    as_parquet(photographs, tmp_path / "parquet")
    told: list[tuple[str, int, int]] = []
    count = unpack_parquet(
        tmp_path / "parquet", tmp_path / "tar", progress=lambda file, done, of: told.append((file.name, done, of))
    )
    names = ["train-00000-of-00001.tar", "validation-00000-of-00001.tar"]
    assert (count, told) == (2, [(names[0], 1, 2), (names[1], 2, 2)])
    before, after = imagenet(tmp_path / "parquet"), imagenet(tmp_path / "tar")
    assert isinstance(streamed(after, "train").store, TarStore)
    assert after.spec == before.spec
    for part in ("train", "validation", "test"):
        assert getattr(after, part).fingerprint == getattr(before, part).fingerprint
    assert equal(training(after).epoch(1), training(before).epoch(1))
    with tarfile.open(tmp_path / "tar/val" / names[1]) as shard:  # as other programs see it
        first = shard.getnames()[:2]
        assert first == ["validation-00000-of-00001_000000.jpg", "validation-00000-of-00001_000000.cls"]
        original = (photographs / "val/n0/n0_0.JPEG").read_bytes()
        assert [shard.extractfile(name).read() for name in first] == [original, b"0"]


def test_unpacking_goes_on_where_it_was(photographs: Path, tmp_path: Path) -> None:
    as_parquet(photographs, tmp_path)
    unpack_parquet(tmp_path, tmp_path / "tar")
    shards = sorted((tmp_path / "tar").glob("*/*.tar"))
    whole = [shard.read_bytes() for shard in shards]
    shards[1].unlink()
    told: list[Path] = []
    assert unpack_parquet(tmp_path, tmp_path / "tar", progress=lambda file, done, of: told.append(file)) == 2
    assert told == [shards[1]]
    assert [shard.read_bytes() for shard in shards] == whole


def test_unpacking_asks_first(photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingData, match=r"has no \[data/\]train\*\.parquet"):
        unpack_parquet(photographs, tmp_path / "tar")
    as_parquet(photographs, tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(ValueError, match=r"has 0\.0 GB free, and the shards take .* Make room"):
        unpack_parquet(tmp_path, tmp_path / "tar")
    assert not list((tmp_path / "tar").iterdir())


def test_parquet_without_pyarrow(photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    (tmp_path / "train-0.parquet").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ValueError, match=r"pip install .*\[parquet\]"):
        imagenet(tmp_path)


def flat_val(folder: Path) -> None:
    for number, file in enumerate((folder / "val").glob("*/*")):
        file.rename(folder / "val" / f"{number}.JPEG")
    for place in (folder / "val").glob("n*"):
        place.rmdir()


def one_class_more(folder: Path) -> None:
    (folder / "train/n2").rename(folder / "train/n3")


def an_empty_class(folder: Path) -> None:
    (folder / "train/n9").mkdir()


def a_lonely_picture(folder: Path) -> None:
    for file in list((folder / "train/n1").glob("*"))[1:]:
        file.unlink()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (flat_val, r"val holds pictures \(.*JPEG, \.\.\.\) and no class folders"),
        (one_class_more, "train and val must have the same classes; n2, n3 is in one only"),
        (an_empty_class, "class folder .*train/n9 holds no pictures"),
        (a_lonely_picture, "Class 1 has 1 training pictures; holding out 0.2 leaves none"),
    ],
)
def test_odd_folders_say_what_is_wrong(harm: Callable[[Path], None], message: str, photographs: Path) -> None:
    harm(photographs)
    with pytest.raises(CorruptData, match=message):
        imagenet(photographs)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.jpg": b"x"}, "'a' has not both"),
        ({"a.jpg": b"x", "a.cls": b"cat"}, r"a\.cls.*b'cat'"),
        ({"readme.txt": b"x"}, "it holds none"),
        (None, "is no WebDataset shard"),
    ],
)
def test_odd_shards_say_what_is_wrong(files: dict[str, bytes] | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "imagenet-train-0000.tar"
    if files is None:
        path.write_bytes(b"no tar file")
    else:
        with tarfile.open(path, "w") as shard:
            for name, content in files.items():
                add(shard, name, content)
    with pytest.raises(CorruptData, match=message):
        imagenet(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"resolution": 0}, "resolution must be at least 1"), ({"valid_split": 0.0}, "valid_split")],
)
def test_options_have_ranges(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DATASETS.build("imagenet", **options)


def test_padding_is_for_images_in_memory_and_resized_crops_are_not(
    photographs: Path, pictures: Callable[..., Any]
) -> None:
    splits, (split, spec) = imagenet(photographs), pictures()
    with pytest.raises(ValueError, match=r"use ResizedCrop\(\)"):
        Batches(splits.train, splits.spec, 4, streams=Streams(1), augment=Augment(flip=True))
    with pytest.raises(ValueError, match=r"varied by Augment\(pad"):
        Batches(split, spec, 4, streams=Streams(1), augment=ResizedCrop())


def test_real_photographs() -> None:
    folder = Path(os.environ.get("RAREFY_DATA", "")) / "tiny-imagenet-10"
    if not os.environ.get("RAREFY_DATA") or not folder.is_dir():
        pytest.skip("set RAREFY_DATA to a folder with tiny-imagenet-10")
    splits = imagenet(folder, resolution=64, valid_split=0.02)
    assert (len(splits.train), len(splits.validation), len(splits.test), splits.spec.classes) == (4900, 100, 500, 10)
    images, _ = next(training(splits).epoch(0))
    assert -1 < images.mean() < 1
    assert 0.5 < images.std() < 2


def test_a_decoder_that_is_killed_is_told_in_a_sentence(photographs: Path) -> None:
    batches = training(imagenet(photographs, workers=1)).epoch(3)
    next(batches)
    (decoder,) = multiprocessing.active_children()
    os.kill(decoder.pid, signal.SIGKILL)
    with contextlib.suppress(RuntimeError):  # torch raises it wherever the main thread is
        decoder.join()
        time.sleep(0.1)
    with pytest.raises(DecoderLost) as caught:
        list(batches)
    assert "--workers" in str(caught.value)
