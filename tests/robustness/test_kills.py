"""A run that is killed at any operation on its files goes on as if nothing had happened: the same bits.

The killed process is a fork that ends at its N-th operation below the run's folder, before that happens: opening a file
to write, making a folder, renaming, deleting, changing permissions, flushing to the disk.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

import rarefy.pipeline as pipeline
from rarefy.config import Config
from rarefy.paths import RunPaths

VALUES: dict[str, Any] = {
    "data": {"name": "synthetic", "height": 4, "width": 4, "train": 32, "validation": 8, "test": 8},
    "model": "mlp_8",
    "density": 0.2,
    "topology": {"name": "set", "interval": 1},
    "engine": "masked",
    "training": {"epochs": 2, "batch_size": 16},
}
EVENTS = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "os.link", "os.symlink", "os.truncate"}
KILLED = 9


def train(out: Path) -> Any:
    """Trains, with a checkpoint after every step."""
    return pipeline.run(Config.from_values(VALUES), out=out, checkpoint_seconds=0)


def count_operations(out: Path, kill_at: int | None) -> list[str]:
    """Has this process end at an operation on files below a folder; the list fills with what was done."""
    done: list[str] = []

    def see(name: str, path: object) -> None:
        if str(path).startswith(str(out)):
            if len(done) == kill_at:
                os._exit(KILLED)
            done.append(f"{name} {Path(str(path)).name}")

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if writes or event in EVENTS:
            see(event, os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes) else arguments[0])

    sys.addaudithook(hook)
    flush = os.fsync

    def fsync(handle: Any) -> None:
        number = handle if isinstance(handle, int) else handle.fileno()
        see("fsync", Path(f"/proc/self/fd/{number}").readlink())
        flush(handle)

    os.fsync = fsync
    return done


def fork_training(out: Path, kill_at: int | None) -> tuple[int, int]:
    """Trains in a fork; its exit code, and how many operations there were if it came to its end."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python's about forks beside threads: this one uses none of them
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            torch.set_num_threads(1)
            done = count_operations(out, kill_at)
            train(out)
            os.write(writing, str(len(done)).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), int(said or 0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, bytes, int]:
    """The record and the model of a run that nobody killed, and how many operations it made."""
    folder = tmp_path_factory.mktemp("whole")
    record = train(folder / "runs")
    code, operations = fork_training(folder / "counted", None)
    assert code == 0 and operations > 20
    return record, RunPaths(folder / "runs" / record.id).model.read_bytes(), operations


def check(kill_at: int, whole: tuple[Any, bytes, int], out: Path) -> None:
    record, model, _ = whole
    assert fork_training(out, kill_at) == (KILLED, 0)
    again = train(out)
    assert RunPaths(out / record.id).model.read_bytes() == model
    assert [untimed(epoch) for epoch in again.history] == [untimed(epoch) for epoch in record.history]
    assert (again.metrics, again.masks, again.layers) == (record.metrics, record.masks, record.layers)
    assert list((out / record.id).glob(".*-*")) == [], "what the killed process had begun is gone"


def untimed(epoch: Any) -> dict[str, Any]:
    return {name: value for name, value in epoch.model_dump().items() if not name.endswith("seconds")}


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.7, 0.97])
def test_killed_at_some_operations_it_goes_on_with_the_same_bits(share: float, whole: Any, tmp_path: Path) -> None:
    check(int(share * whole[2]), whole, tmp_path / "runs")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_at_every_operation_it_goes_on_with_the_same_bits(whole: Any, tmp_path: Path) -> None:
    for kill_at in range(whole[2]):
        check(kill_at, whole, tmp_path / str(kill_at) / "runs")
