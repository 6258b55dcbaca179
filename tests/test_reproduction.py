"""The published records stay readable, belong to their networks, and the page says what they say."""

from __future__ import annotations

import json
import math
import re
import runpy
import shutil
import statistics
from pathlib import Path
from typing import Any

import pytest
import torch

import rarefy
from rarefy import models, records
from rarefy.config import Config
from rarefy.pipeline import resolve

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "experiments" / "results"
FOLDERS = [RESULTS, ROOT / "experiments" / "group_results"]
RUNS = sorted(path.parent for folder in FOLDERS for path in folder.glob("*/record.json"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_there_are_records(folder: Path) -> None:
    runs = {run.name for run in RUNS if run.parent == folder}
    assert runs
    assert {path.name for path in folder.iterdir() if path.is_dir()} == runs


@pytest.mark.parametrize("folder", RUNS, ids=lambda folder: folder.name)
def test_a_record_is_a_full_run_of_its_config(folder: Path) -> None:
    record = records.read(folder)
    assert resolve(Config.from_values(record.config)).id == record.id == folder.name
    assert [epoch.epoch for epoch in record.history] == list(range(1, 161))
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert [records.Epoch(**line) for line in lines] == list(record.history)
    assert record.files["model.safetensors"] == (folder / "model.safetensors").stat().st_size
    assert record.params.kept == round(record.config["density"] * record.params.total)
    assert not re.findall(r'"(/[^"]+)"', (folder / "record.json").read_text()), "a path of a machine"
    assert f"`{record.id}`" in (folder.parent / "README.md").read_text()


@pytest.mark.parametrize("folder", RUNS, ids=lambda folder: folder.name)
def test_the_network_in_a_folder_has_the_masks_of_its_record(folder: Path) -> None:
    record = records.read(folder)
    plan = resolve(Config.from_values(record.config))
    model = models.build(plan.model, in_channels=3, classes=10, size=(32, 32), generator=torch.Generator())
    sparsity = rarefy.load(model, folder / "model.safetensors")
    assert sparsity.masks.checksum() == record.masks["checksum"]
    assert sum(int(weight.count_nonzero()) for weight in sparsity.dense_weights().values()) == record.params.kept


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "docs" / "plots" / "reproduction.py"))


def test_the_page_is_what_the_records_say(script: dict[str, Any], tmp_path: Path) -> None:
    shutil.copy(ROOT / "docs" / "reproduction.md", tmp_path)
    script["build"](RESULTS, tmp_path)
    assert (tmp_path / "reproduction.md").read_text() == (ROOT / "docs" / "reproduction.md").read_text(), (
        "run make reproduction-page"
    )
    for name in ("accuracy.csv", "curves.csv"):
        written, kept = ((folder / "reproduction" / name).read_text() for folder in (tmp_path, ROOT / "docs"))
        assert written == kept, "run make reproduction-page"
    assert (tmp_path / "reproduction" / "accuracy.svg").stat().st_size > 1000


def test_a_verdict_is_that_of_two_one_sided_t_tests(script: dict[str, Any]) -> None:
    values, published = [87.84, 87.70, 87.91], 87.79
    half = 2.919986 * statistics.stdev(values) / math.sqrt(3)  # t of 2 degrees of freedom, 95%, from a table
    difference = statistics.fmean(values) - published
    assert script["judge"](values, published) == f"yes ({difference - half:+.2f} to {difference + half:+.2f})"
    assert script["judge"](values, 90.0).startswith("no ")
    assert script["judge"]([87.0, 88.6], 87.8).startswith("cannot tell (")
    assert script["judge"]([87.84], published) == "cannot tell: one seed"
