"""A run's folder: who holds it, what happens when it goes, and a log that cannot be written."""

from __future__ import annotations

import errno
import logging
import resource
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import rarefy
from rarefy.config import Config
from rarefy.paths import RunPaths
from rarefy.pipeline import FolderLost, RunHeld, is_held, run
from rarefy.pipeline._folder import claim_folder, log_to_file
from rarefy.training import Event, State

TINY = {"name": "synthetic", "height": 8, "width": 8, "train": 256, "validation": 64, "test": 64}
CONFIG = Config.from_values({"data": TINY, "model": "mlp_16", "training": {"epochs": 2, "batch_size": 32}})


def test_those_who_look_refuse_nobody_and_see_no_other_who_looks(tmp_path: Path) -> None:
    paths, over, wrong = RunPaths(tmp_path / "run"), threading.Event(), []
    with claim_folder(paths):
        assert is_held(paths)
        with pytest.raises(RunHeld), claim_folder(paths):
            pass
    claiming = threading.Lock()

    def look() -> None:
        while not over.is_set():
            if is_held(paths) and not claiming.locked():
                wrong.append("held by nobody")

    lookers = [threading.Thread(target=look) for _ in range(3)]
    for looker in lookers:
        looker.start()
    try:
        for _ in range(200):
            with claiming, claim_folder(paths):
                pass
    finally:
        over.set()
        for looker in lookers:
            looker.join()
    assert len(wrong) < 20, (
        "a claim that ends between look and question is one; looks that see each other are thousands"
    )


@pytest.mark.parametrize("began_anew", [False, True])
def test_a_folder_that_is_deleted_ends_the_run_and_nothing_more_is_written(tmp_path: Path, began_anew: bool) -> None:
    folders: list[Path] = []

    def delete(event: Event, state: State) -> None:
        if event is Event.EPOCH and state.epoch == 1:
            folders.extend(path for path in tmp_path.iterdir())
            shutil.rmtree(folders[0])
            if began_anew:
                RunPaths(folders[0]).folder.mkdir()
                RunPaths(folders[0]).lock.touch()

    with pytest.raises(FolderLost):
        run(CONFIG, out=tmp_path, callbacks=[delete])
    left = [path.name for path in folders[0].iterdir()] if folders[0].exists() else []
    assert left == ([".lock"] if began_anew else [])


def test_a_log_that_cannot_be_written_is_said_once_and_ends_nothing(
    caplog: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = logging.getLogger("rarefy")
    monkeypatch.setattr(log, "handlers", [])  # an earlier test's, of an output that is closed
    with log_to_file(Path("/dev/full")):
        for _ in range(3):
            log.info("a line")
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "/dev/full" in warnings[0].getMessage()
    assert "Traceback" not in capsys.readouterr().err


def test_what_the_disk_refuses_under_the_weights_names_the_file(tmp_path: Path) -> None:
    """A file that may not grow stands for a full disk, of which safetensors speaks in the same way."""
    model = nn.Linear(64, 64)
    sparsity = rarefy.sparsify(model, density=0.5)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OSError) as caught:
            rarefy.save(model, sparsity, tmp_path / "model.safetensors")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.errno == errno.EFBIG
    assert caught.value.filename == str(tmp_path / "model.safetensors")
    assert list(tmp_path.iterdir()) == []
