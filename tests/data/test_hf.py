"""Data sets that Hugging Face datasets saved; where the package is installed, it writes them itself."""

from __future__ import annotations

import importlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
import torch
from pyarrow import parquet

from rarefy.data import CorruptData, MissingData, Splits, StreamedSplit, load, parse

from .conftest import jpeg, png

PIXELS = np.random.default_rng(5).integers(0, 256, (30, 6, 5, 3), dtype=np.uint8)
LABELS = [number % 3 for number in range(30)]


def read(folder: Path, **options: Any) -> Splits:
    return load(parse(f"hf:{folder}", **options), Path("unused"), torch.Generator(), workers=0)


def make_table(count: int = 30, *, image: str = "image", label: str = "label", names: bool = True) -> pyarrow.Table:
    """A table as datasets makes it, its metadata included."""
    features = {image: {"_type": "Image"}, label: {"_type": "ClassLabel", "names": ["ant", "bee", "cow"]}}
    table = pyarrow.table({image: [{"bytes": png(p), "path": None} for p in PIXELS[:count]], label: LABELS[:count]})
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return table.replace_schema_metadata(metadata) if names else table


def write_arrow(table: pyarrow.Table, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with pyarrow.OSFile(str(file), "wb") as sink, pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)


@pytest.mark.parametrize("layout", ["arrow", "parquet", "hub"])
def test_splits_are_found_by_their_names(layout: str, tmp_path: Path) -> None:
    for split, count in (("train", 30), ("test", 9)):
        if layout == "arrow":
            write_arrow(make_table(count), tmp_path / split / "data-00000-of-00001.arrow")
            continue
        place = tmp_path / "plain_text" if layout == "hub" else tmp_path
        place.mkdir(exist_ok=True)
        parquet.write_table(make_table(count), place / f"{split}-00000-of-00001.parquet")
    splits = read(tmp_path)
    assert len(splits.test) == 9
    assert np.array_equal(splits.test.images.permute(0, 2, 3, 1).numpy(), PIXELS[:9])
    assert splits.spec.class_names == ("ant", "bee", "cow")
    assert splits.held_out == {"validation": 0.1}


def test_one_table_is_divided(tmp_path: Path) -> None:
    write_arrow(make_table(), tmp_path / "data-00000-of-00001.arrow")
    splits = read(tmp_path, test_split=0.2)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (21, 3, 6)


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    write_arrow(make_table(image="scan", label="finding"), tmp_path / "data-00000-of-00001.arrow")
    assert read(tmp_path).spec.class_names == ("ant", "bee", "cow")  # by their types


def test_columns_without_types_are_named_by_the_user(tmp_path: Path) -> None:
    table = make_table(image="scan", label="finding", names=False)
    parquet.write_table(table, tmp_path / "train.parquet")
    with pytest.raises(CorruptData, match="scan, finding; which one holds the pictures is not clear"):
        read(tmp_path)
    assert read(tmp_path, image="scan", label="finding").spec.classes == 3
    with pytest.raises(CorruptData, match="'x' is none of them"):
        read(tmp_path, image="x", label="finding")


def test_pictures_of_several_sizes_are_decoded_while_training(tmp_path: Path) -> None:
    table = pyarrow.table({"image": [jpeg(n, (20 + n, 24)) for n in range(30)], "label": LABELS})
    parquet.write_table(table, tmp_path / "train.parquet")
    with pytest.raises(CorruptData, match="--resolution"):
        read(tmp_path)
    splits = read(tmp_path, resolution=8)
    assert isinstance(splits.test, StreamedSplit)
    assert splits.test.select(torch.arange(2)).images.shape == (2, 3, 8, 8)
    assert splits.fingerprint == read(tmp_path, resolution=8).fingerprint != read(tmp_path, resolution=9).fingerprint


@pytest.mark.parametrize("names", [("train", "validation", "dev"), ("train", "rows")])
def test_two_names_of_one_split_are_refused(names: tuple[str, ...], tmp_path: Path) -> None:
    for name in names:
        parquet.write_table(make_table(), tmp_path / f"{name}.parquet")
    with pytest.raises(CorruptData, match="two of these are one split"):
        read(tmp_path)


@pytest.mark.parametrize("spoil", ["nothing", "labels", "truncated", "mixed", "test only", "no bytes"])
def test_what_cannot_be_used_is_refused(spoil: str, tmp_path: Path) -> None:
    table = make_table()
    if spoil == "labels":
        table = table.set_column(1, "label", [[-1] * 30])
    if spoil == "no bytes":
        table = table.set_column(0, "image", [[{"bytes": None, "path": "a.png"}] * 30])
    if spoil != "nothing":
        parquet.write_table(table, tmp_path / ("test.parquet" if spoil == "test only" else "train.parquet"))
    if spoil == "truncated":
        (tmp_path / "train.parquet").write_bytes((tmp_path / "train.parquet").read_bytes()[:200])
    if spoil == "mixed":
        (tmp_path / "other").mkdir()
        parquet.write_table(table, tmp_path / "other" / "train.parquet")
    with pytest.raises(MissingData if spoil == "nothing" else CorruptData):
        read(tmp_path)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    parquet.write_table(make_table(), tmp_path / "train.parquet")
    with pytest.raises(CorruptData, match="is a file"):
        read(tmp_path / "train.parquet")


@pytest.mark.slow  # its import takes seconds
@pytest.mark.skipif(importlib.util.find_spec("datasets") is None, reason="Hugging Face datasets is not installed")
def test_what_datasets_saves_is_read(tmp_path: Path) -> None:
    hugging = importlib.import_module("datasets")
    hugging.disable_progress_bars()
    features = hugging.Features(image=hugging.Image(), label=hugging.ClassLabel(names=["ant", "bee", "cow"]))
    images = [{"bytes": png(pixels), "path": None} for pixels in PIXELS]
    data = hugging.Dataset.from_dict({"image": images, "label": LABELS}, features=features)
    data.save_to_disk(tmp_path / "one")
    hugging.DatasetDict(train=data, test=data.select(range(9))).save_to_disk(tmp_path / "two")
    (tmp_path / "three").mkdir()
    data.to_parquet(tmp_path / "three" / "train.parquet")
    assert len(read(tmp_path / "one").train) == len(read(tmp_path / "three").train) == 24
    splits = read(tmp_path / "two")
    assert np.array_equal(splits.test.images.permute(0, 2, 3, 1).numpy(), PIXELS[:9])
    assert splits.spec.class_names == ("ant", "bee", "cow")
