"""The promise of several processes in little: on photographs, killed and started anew, what one process computes."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch.distributed as dist
from PIL import Image

from rarefy.config import Config, dump_config
from rarefy.distributed import World
from rarefy.pipeline import run
from rarefy.records import Record

OnRanks = Callable[[int, Callable[[World], Any]], list[Any]]
CONFIG = {
    "data": {"name": "imagenet", "resolution": 16, "valid_split": 0.2},
    "model": "cifar_resnet_8_8",
    "allocation": {"name": "erk_plus", "fc_density": 1.0},
    "density": 0.2,
    "engine": "masked",
    "device": "cpu",
    "training": {"epochs": 3, "batch_size": 8, "lr": 0.02, "sync_norms": True},
}
# `rarefy` as it is, but for the second process: at its 8th step, in the second epoch, it is killed; once.
KILLED = """
import os, signal, rarefy.pipeline
from rarefy.cli import main
from rarefy.training import Event

def kill(event, state):
    first_start = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
    if event is Event.STEP and state.step == 8 and os.environ["RANK"] == "1" and first_start:
        os.kill(os.getpid(), signal.SIGKILL)

run = rarefy.pipeline.run
rarefy.pipeline.run = lambda config, **places: run(config, **places | {"callbacks": [*places["callbacks"], kill]})
main()
"""


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Three classes of JPEGs, from dark to bright."""
    rng = np.random.default_rng(1)
    for part, count in (("train", 16), ("val", 4)):
        for label in range(3):
            folder = tmp_path / "data" / part / f"class{label}"
            folder.mkdir(parents=True)
            for number in range(count):
                coarse = rng.integers(0, 120, (5, 5, 3), dtype=np.uint8) + np.uint8(45 * label)
                Image.fromarray(coarse).resize((24, 24)).save(folder / f"{part}{number}.JPEG")
    return tmp_path / "data"


def digest(out: Path) -> str:
    (model,) = out.glob("*/model.safetensors")
    return hashlib.sha256(model.read_bytes()).hexdigest()


def losses(record: Record, part: str) -> list[float]:
    return [getattr(epoch, f"{part}_loss") for epoch in record.history]


@pytest.mark.timeout(400)
@pytest.mark.skipif(not (dist.is_available() and dist.is_gloo_available()), reason="torch was built without gloo")
def test_a_killed_rank_is_started_anew_and_two_processes_end_as_one(
    photographs: Path, tmp_path: Path, on_ranks: OnRanks
) -> None:
    config = Config.from_values(CONFIG)
    places: dict[str, Any] = {"data_dir": photographs, "workers": 0}
    alone = run(config, out=tmp_path / "one", **places)
    two, _ = on_ranks(2, lambda world: run(config, out=tmp_path / "two", world=world, **places))
    assert two.masks == alone.masks
    assert losses(two, "train")[:2] == pytest.approx(losses(alone, "train")[:2], rel=1e-5)
    assert losses(two, "train") == pytest.approx(losses(alone, "train"), rel=1e-3)
    assert losses(two, "validation") == pytest.approx(losses(alone, "validation"), rel=1e-3)

    (tmp_path / "killed.py").write_text(KILLED)
    (tmp_path / "config.yaml").write_text(dump_config(config))
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1"]
    train = [tmp_path / "killed.py", "train", "--quiet", "--checkpoint-seconds=0", "--workers=0"]
    where = ["--config", tmp_path / "config.yaml", "--data-dir", photographs, "--out", tmp_path / "killed"]
    command = [sys.executable, "-m", *map(str, [*torchrun, *train, *where])]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Rank 1 is gone") == 1, done.stderr
    (folder,) = (tmp_path / "killed").iterdir()
    assert done.stdout.split() == [str(folder)]
    assert (folder / "log.txt").read_text().count("continuing run") == 1
    assert len((folder / "history.jsonl").read_text().splitlines()) == 3
    assert json.loads((folder / "record.json").read_text())["metrics"] == two.metrics
    assert digest(tmp_path / "killed") == digest(tmp_path / "two")
