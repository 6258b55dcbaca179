"""``rarefy find-density``: what it asks, says and writes. Records are pretended; real ones: tests/integration."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
from pathlib import Path
from typing import ClassVar

import pytest

from rarefy.paths import RunPaths
from rarefy.records import Record, find, write
from rarefy.search import Saving
from rarefy.sweeps import EXECUTORS, JobResult

GOLDEN = json.loads((Path(__file__).parents[1] / "records" / "golden" / "record1.json").read_text())
TINY = "--data synthetic --model mlp_16 --epochs 4 --fix --engine masked"


@dataclasses.dataclass(frozen=True)
class Here:
    """Writes records: 90% down to density 0.3, 80% below; seeds differ by two hundredths of a point."""

    workers: int | None = None
    threads: int | None = None
    is_remote: ClassVar[bool] = False
    slots: ClassVar[int] = 1

    @contextlib.contextmanager
    def __call__(self, count, *, accelerated=False):
        yield self

    def submit(self, job):
        accuracy = (0.9 if job.values["density"] >= 0.3 else 0.8) + 0.0002 * job.values["seed"]
        values = copy.deepcopy(GOLDEN) | {"id": job.folder.name, "config": job.values, "selected_epoch": 1}
        values["history"] = [GOLDEN["history"][0] | {"epoch": 1, "validation_accuracy": accuracy}]
        values["metrics"] = {"test": {"accuracy": accuracy, "loss": 0.3}}
        write(Record(**values), RunPaths(job.folder).record)
        return type("Ended", (), {"poll": lambda self: JobResult("done"), "stop": lambda self: None})()


@pytest.fixture
def search(rarefy, tmp_path, monkeypatch):
    """Runs ``rarefy find-density`` without any training."""
    monkeypatch.setitem(EXECUTORS._methods, "local", ("local", Here))
    monkeypatch.setattr("rarefy.sweeps._loop.POLL_SECONDS", 0.0)
    monkeypatch.setattr(
        "rarefy.search.measure_savings", lambda result, runs, progress: [Saving("weights", "", 4000, 1000)]
    )
    places = ("--out", tmp_path / "runs", "--data-dir", tmp_path, "-o", tmp_path / "found.html")
    return lambda words="", *more: rarefy(f"find-density {TINY} {words}", *places, *more)


def test_the_answer_its_story_and_its_page(search, tmp_path):
    done = search("--margin 1 --seeds 3 --seed 5")
    assert done.code == 0, done.err
    assert "seeds 5, 6, 7" in done.out
    assert "At most 10 short runs and 24 full ones" in done.out
    assert "Short runs at density 0.088: 80.11% against dense 90.11%, -10.00 points" in done.out
    assert (
        "Density 0.35: 90.12% against dense 90.12%, +0.00 points (-0.03 to +0.03), 3 seeds: within the margin."
        in done.out
    )
    assert "\nDensity 0.35 is within 1 point of dense.\n" in done.out
    assert "weights        4,000   1,000  25.00%" in done.out
    values = json.loads((tmp_path / "found.json").read_text())
    assert (values["density"], values["verdict"]) == (0.35, "yes")
    assert values["savings"] == [{"name": "weights", "unit": "", "dense": 4000, "sparse": 1000}]
    assert {trial["run"] for trial in values["evidence"]} == {record.id for record in find(tmp_path / "runs")}
    assert "mlp_16 on synthetic: density 0.35 is within 1 point of dense" in (tmp_path / "found.html").read_text()
    again = search("--margin 1 --seeds 3 --seed 5", "--quiet")
    assert again.out.splitlines() == ["Density 0.35 is within 1 point of dense."]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--margin 50", "for 0.5 points write 0.005"),
        ("--margin 0", "above 0"),
        ("--min-density 0.9", "smallest density has to be above 0"),
        ("--short 2", "short is a fraction"),
        ("--scale tiny", "Unknown scale 'tiny'"),
        ("--sparse-init dense", "no density to look for"),
        ("--model mlpp", "Unknown model"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(search, tmp_path, words, said):
    assert said in search(words).sentence
    assert not (tmp_path / "runs").exists()


def test_density_is_no_flag_of_it(search):
    done = search("--density 0.1")
    assert done.code == 2
    assert "No such option: --density" in done.err


def test_a_scale_sets_epochs_seeds_and_densities_and_flags_go_over_it(search):
    done = search("--scale smoke --seeds 3")
    assert "4 epochs, seeds 17, 18, 19: which of the densities 0.5, 0.12, 0.05" in done.out
