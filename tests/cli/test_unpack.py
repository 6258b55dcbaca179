"""`rarefy unpack` as a person types it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    files = pytest.importorskip("pyarrow.parquet")
    picture = io.BytesIO()
    Image.new("RGB", (6, 5)).save(picture, "PNG")
    images = [{"bytes": picture.getvalue(), "path": None}] * 4
    for name in ("train-0", "validation-0"):
        files.write_table(pyarrow.table({"image": images, "label": [0, 1, 0, 1]}), tmp_path / f"{name}.parquet")
    return tmp_path


def test_says_how_far_it_is_and_what_to_do_next(rarefy: Callable, parquet: Path) -> None:
    out = parquet / "tar"
    done = rarefy("unpack", parquet, out)
    assert done.code == 0, done.err
    lines = "".join(done.out.split())
    assert f"1of2:{out}/train/train-0.tar2of2:{out}/val/validation-0.tar2shards:rarefytrain{out}..." in lines
    assert rarefy("unpack", parquet, out).out.startswith("2 shards")  # nothing is left to do


def test_a_folder_without_parquet(rarefy: Callable, tmp_path: Path) -> None:
    assert "has no [data/]train*.parquet" in rarefy("unpack", tmp_path, tmp_path / "tar").sentence
    assert not (tmp_path / "tar").exists()
