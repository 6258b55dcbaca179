"""`rarefy predict` as a person types it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rarefy as package

RESULT = Path(__file__).parents[2] / "experiments" / "results" / "465feb064986"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for n, pixels in enumerate(np.random.default_rng(2).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)):
        Image.fromarray(pixels).save(folder / f"{n}.png")
    return folder


def test_the_table_names_the_most_probable_classes(rarefy: Callable, pictures: Path) -> None:
    done = rarefy("predict --top 2", RESULT, pictures)
    assert (done.code, done.err) == (0, "")
    network = package.load_run(RESULT)
    first = network.predict(np.asarray(Image.open(pictures / "0.png")))[0]
    best, second = first.argsort(descending=True)[:2].tolist()
    line = next(line for line in done.out.splitlines() if str(pictures / "0.png") in line)
    expected = [f"{network.class_names[label]} {100 * first[label]:.2f}%" for label in (best, second)]
    assert " ".join(line.split()) == f"{pictures / '0.png'} {' '.join(expected)}"


def test_csv_and_json_hold_every_probability(rarefy: Callable, pictures: Path, tmp_path: Path) -> None:
    done = rarefy("predict --csv - --json", tmp_path / "out.json", RESULT, pictures)
    rows = list(csv.DictReader(io.StringIO(done.out)))
    content = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert content["run"] == RESULT.name
    assert len(rows) == len(content["predictions"]) == 3
    for row, entry in zip(rows, content["predictions"], strict=True):
        by_class = dict(zip(content["classes"], entry["probabilities"], strict=True))
        assert sum(by_class.values()) == pytest.approx(1, abs=1e-5)
        assert by_class[entry["class"]] == max(by_class.values()) == entry["probability"]
        assert {name: float(row[name]) for name in by_class} == by_class
        assert (row["image"], row["class"]) == (entry["image"], entry["class"])
    assert json.loads(rarefy("predict --json -", RESULT, pictures).out) == content
    assert f"written: {tmp_path / 'out.csv'}" in rarefy("predict --csv", tmp_path / "out.csv", RESULT, pictures).out


def test_a_broken_picture_says_what_helps(rarefy: Callable, pictures: Path) -> None:
    (pictures / "1.png").write_bytes(b"")
    assert "--skip-bad-images" in rarefy("predict", RESULT, pictures).sentence
    done = rarefy("predict --skip-bad-images --csv -", RESULT, pictures)
    assert (done.code, done.out.count("\n"), done.err.count("note: left out")) == (0, 3, 1)


def test_mistakes_are_one_sentence_each(rarefy: Callable, train: Callable, pictures: Path, tmp_path: Path) -> None:
    assert str(tmp_path / "nowhere.png") in rarefy("predict", RESULT, tmp_path / "nowhere.png").sentence
    assert "is not one itself" in rarefy("predict", RESULT.parent, pictures).sentence
    assert "There is no run" in rarefy("predict nowhere", pictures).sentence
    assert "device cannot be 'tpu'" in rarefy("predict --device tpu", RESULT, pictures).sentence
    assert "No space left" in rarefy("predict --csv /dev/full", RESULT, pictures).sentence


def test_a_run_of_its_own(rarefy: Callable, train: Callable, tmp_path: Path) -> None:
    train("--sparse --fix --density 0.3")
    (folder,) = (path.parent for path in (tmp_path / "runs").glob("*/record.json"))
    np.savez(tmp_path / "images.npz", images=np.zeros((2, 4, 4, 3), np.uint8))
    done = rarefy("predict --csv -", folder, tmp_path / "images.npz")
    assert done.out.splitlines()[0] == "image,class,probability,0,1,2"
    assert len(done.out.splitlines()) == 3
