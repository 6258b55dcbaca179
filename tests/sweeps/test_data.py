"""A sweep over other data than its finished runs are of is refused before anything is trained."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from rarefy.data import MissingData
from rarefy.pipeline import OtherData
from rarefy.sweeps import Job, JobResult, SweepRun, read_sweep, run_job, sweep

PICTURES = {"data": {"name": "imagenet", "resolution": 4, "valid_split": 0.2}, "epochs": 1, "batch_size": 4}


def paint(folder: Path, shade: int) -> Path:
    for part, count in (("train", 4), ("val", 2)):
        for label in range(2):
            (folder / part / f"class{label}").mkdir(parents=True)
            for number in range(count):
                picture = Image.new("RGB", (6, 5), (shade + number, 90 * label, 0))
                picture.save(folder / part / f"class{label}" / f"{number}.bmp")
    return folder


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return paint(tmp_path / "own", 10)


@pytest.fixture
def pictured(write: Callable[..., Path], tiny_run: dict[str, Any]) -> Callable[[int], list[SweepRun]]:
    return lambda count: read_sweep(write(base=tiny_run | PICTURES, grid={"seed": list(range(count))}))


def trained(job: Job, attempt: int) -> JobResult:
    return run_job(job)


def test_other_data_are_refused_and_nothing_is_trained(pictured, scripted, own: Path, tmp_path: Path) -> None:
    executor = scripted(trained)
    (done,) = sweep(pictured(1), executor, out=tmp_path / "runs", data_dir=own)
    assert done.state.value == "done"
    with pytest.raises(OtherData) as caught:
        sweep(pictured(2), executor, out=tmp_path / "runs", data_dir=paint(tmp_path / "other", 80))
    assert caught.value.known == done.fingerprint != caught.value.found
    assert len(executor.jobs) == 1
    shutil.move(own, tmp_path / "moved")
    statuses = sweep(pictured(2), executor, out=tmp_path / "runs", data_dir=tmp_path / "moved")
    assert [status.state.value for status in statuses] == ["done", "done"]
    assert len(executor.jobs) == 2


def test_missing_data_are_said_unless_runs_compute_elsewhere(pictured, scripted, own: Path, tmp_path: Path, caplog):
    executor = scripted(trained)
    sweep(pictured(1), executor, out=tmp_path / "runs", data_dir=own)
    with pytest.raises(MissingData):
        sweep(pictured(1), executor, out=tmp_path / "runs", data_dir=tmp_path / "nowhere")
    executor.is_remote = True
    (status,) = sweep(pictured(1), executor, out=tmp_path / "runs", data_dir=tmp_path / "nowhere")
    assert status.state.value == "done"
    assert "not on this machine" in caplog.text


def test_a_damaged_record_is_trained_again(runs, scripted, tmp_path: Path) -> None:
    executor = scripted(trained)
    (first,) = sweep(runs(1), executor, out=tmp_path)
    first.paths.record.write_text("{")
    (again,) = sweep(runs(1), executor, out=tmp_path)
    assert (again.state.value, len(executor.jobs)) == ("done", 2)
    assert again.accuracy == first.accuracy


def test_a_run_that_never_began_leaves_what_a_report_needs(runs, scripted, tmp_path: Path) -> None:
    """Its settings and its last words, though the attempt itself leaves nothing."""
    (status,) = sweep(runs(1), scripted(lambda job, attempt: JobResult("failed", "no such thing")), out=tmp_path)
    assert {path.name for path in status.paths.folder.iterdir()} == {"config.yaml", "failure.txt"}
