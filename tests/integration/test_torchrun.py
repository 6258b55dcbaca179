"""``torchrun -m rarefy train``: one process or two, killed or not, moved from two to one."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist

pytestmark = pytest.mark.skipif(
    not (dist.is_available() and dist.is_gloo_available()), reason="torch was built without gloo"
)
TINY = {"height": 8, "width": 8, "train": 256, "validation": 70, "test": 64}
WORDS = (
    "train --data synthetic --model cifar_resnet_8_4 --sparse --topology set --update-frequency 7 --density 0.2 "
    "--sync-norms --epochs 4 --batch-size 30 --lr 0.02 --engine masked --quiet --checkpoint-seconds 0"
)


def start(out: Path, *, ranks: int) -> subprocess.Popen[str]:
    sets = [f"--set=data.{name}={value}" for name, value in TINY.items()]
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"] if ranks > 1 else []
    command = [sys.executable, *torchrun, "-m", "rarefy", *WORDS.split(), *sets, "--out", str(out)]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(out: Path, *, ranks: int) -> tuple[str, dict[str, Any], str]:
    """The model's hash, the record, and what was said."""
    process = start(out, ranks=ranks)
    said, errors = process.communicate(timeout=280)
    assert process.returncode == 0, errors
    (folder,) = out.iterdir()
    assert said.split() == [str(folder)]  # one rank speaks
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    return digest, json.loads((folder / "record.json").read_text()), errors


def lines(out: Path) -> int:
    return sum(len(path.read_text().splitlines()) for path in out.glob("*/history.jsonl"))


def workers(process: subprocess.Popen[str]) -> list[int]:
    """Pids of torchrun's processes, by rank."""
    found = {}
    for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        environ = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
        found[int(dict(entry.partition("=")[::2] for entry in environ if entry).get("RANK", -1))] = int(pid)
    return [found[rank] for rank in sorted(found) if rank >= 0]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform != "linux", reason="looks for the processes in /proc")
def test_two_processes_are_one_also_when_one_is_killed(tmp_path: Path) -> None:
    _, alone, _ = finished(tmp_path / "one", ranks=1)
    digest, two, _ = finished(tmp_path / "two", ranks=2)
    assert two["id"] == alone["id"]
    assert (alone["environment"]["ranks"], two["environment"]["ranks"]) == (1, 2)
    assert two["masks"] == alone["masks"]
    for row, other in zip(two["history"], alone["history"], strict=True):
        assert row["train_loss"] == pytest.approx(other["train_loss"], rel=1e-3)
        assert row["validation_loss"] == pytest.approx(other["validation_loss"], rel=1e-2)

    process = start(tmp_path / "killed", ranks=2)
    while process.poll() is None and lines(tmp_path / "killed") < 2:
        time.sleep(0.01)
    os.kill(workers(process)[1], signal.SIGKILL)
    killed_at = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert time.monotonic() - killed_at < 30
    assert "Rank 1 is gone" in errors
    assert not list((tmp_path / "killed").glob("*/record.json"))
    again, record, _ = finished(tmp_path / "killed", ranks=2)
    assert again == digest
    assert record["metrics"] == two["metrics"]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform != "linux", reason="looks for the processes in /proc")
def test_sigusr1_on_one_rank_saves_and_one_process_finishes_what_two_began(tmp_path: Path) -> None:
    process = start(tmp_path / "moved", ranks=2)
    while process.poll() is None and lines(tmp_path / "moved") < 2:
        time.sleep(0.01)
    os.kill(workers(process)[1], signal.SIGUSR1)
    said, errors = process.communicate(timeout=120)
    assert "the same command goes on from there" in said
    assert "exitcode  : 130" in errors  # torchrun's own summary
    _, record, notes = finished(tmp_path / "moved", ranks=1)
    assert "begun by 2 process(es) and goes on with 1. The batch stays at 30" in notes
    _, alone, _ = finished(tmp_path / "one", ranks=1)
    assert record["masks"] == alone["masks"]
    for row, other in zip(record["history"], alone["history"], strict=True):
        assert row["train_loss"] == pytest.approx(other["train_loss"], rel=1e-3)
