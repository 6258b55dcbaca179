"""``torchrun -m rarefy train``: one process or two, killed or not, moved from two to one."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
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
MOVING = (
    "train --data synthetic --model cifar_resnet_8_4 --sparse --topology set --update-frequency 7 --density 0.2 "
    "--sync-norms --epochs 4 --batch-size 30 --lr 0.02 --engine masked --quiet --checkpoint-seconds 0 "
    + " ".join(f"--set=data.{name}={value}" for name, value in TINY.items())
)
PHOTOGRAPHS = (
    "train --data imagenet --resolution 64 --model resnet18 --sparse --fix --sparse-init ERK_plus --fc-density 1.0 "
    "--density 0.2 --sync-norms --epochs 3 --batch-size 64 --lr 0.01 --warmup 1 --engine masked --workers 0 --quiet "
    "--checkpoint-seconds 5 --data-dir"
)


TWO = "--standalone --nproc-per-node=2"


def start(out: Path, words: str = MOVING, *, torchrun: str = "") -> subprocess.Popen[str]:
    """One process, or as many as torchrun is asked for."""
    launcher = ["-m", "torch.distributed.run", *torchrun.split()] if torchrun else []
    command = [sys.executable, *launcher, "-m", "rarefy", *words.split(), "--out", str(out)]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(out: Path, words: str = MOVING, *, torchrun: str = "") -> tuple[str, dict[str, Any], str]:
    """The model's hash, the record, and what was said."""
    process = start(out, words, torchrun=torchrun)
    said, errors = process.communicate()
    assert process.returncode == 0, errors
    (folder,) = out.iterdir()
    assert said.split() == [str(folder)]  # one rank speaks
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    return digest, json.loads((folder / "record.json").read_text()), errors


def alike(record: dict[str, Any], other: dict[str, Any], **tolerances: float) -> None:
    """The same masks, and epoch by epoch the same values but for such shares of them."""
    assert record["masks"] == other["masks"]
    for row, wanted in zip(record["history"], other["history"], strict=True):
        for name, share in tolerances.items():
            assert row[name] == pytest.approx(wanted[name], rel=share)


def lines(out: Path) -> int:
    return sum(len(path.read_text().splitlines()) for path in out.glob("*/history.jsonl"))


def until_lines(process: subprocess.Popen[str], out: Path) -> None:
    """Waits until two epochs are done."""
    while process.poll() is None and lines(out) < 2:
        time.sleep(0.01)


def workers(process: subprocess.Popen[str]) -> dict[int, int]:
    """Pids of torchrun's processes, by rank."""
    found = {}
    for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        environ = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
        found[int(dict(entry.partition("=")[::2] for entry in environ if entry).get("RANK", -1))] = int(pid)
    return found


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def killed(out: Path, words: str) -> tuple[int, str, float]:
    """One of two processes is killed in the third epoch: exit code, what was said, seconds until all had ended."""
    process = start(out, words, torchrun=TWO)
    until_lines(process, out)
    os.kill(workers(process)[1], signal.SIGKILL)
    killed_at = time.monotonic()
    _, errors = process.communicate()
    return process.returncode, errors, time.monotonic() - killed_at


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(sys.platform != "linux", reason="looks for the processes in /proc")
@pytest.mark.parametrize(
    ("of", "training", "validation"),
    [("moving masks", 1e-3, 1e-2), ("photographs", 5e-3, 0.15)],  # of 50 photographs
)
def test_two_processes_are_one_also_when_one_is_killed(
    of: str, training: float, validation: float, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """In float32 roundings grow from step to step; tests/training/test_parallel.py has float64, where they do not."""
    words = MOVING
    if of == "photographs":
        words = f"{PHOTOGRAPHS} {request.getfixturevalue('real_data') / 'tiny-imagenet-10'}"
    _, alone, _ = finished(tmp_path / "one", words)
    digest, two, _ = finished(tmp_path / "two", words, torchrun=TWO)
    assert two["id"] == alone["id"]
    assert (alone["environment"]["ranks"], two["environment"]["ranks"]) == (1, 2)
    alike(two, alone, train_loss=training, validation_loss=validation)

    code, errors, seconds = killed(tmp_path / "killed", words)
    assert code != 0
    assert seconds < 30
    assert "Rank 1 is gone" in errors
    assert not list((tmp_path / "killed").glob("*/record.json"))
    again, record, _ = finished(tmp_path / "killed", words, torchrun=TWO)
    assert again == digest
    assert record["metrics"] == two["metrics"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_compiled_they_train_the_same(tmp_path: Path) -> None:
    _, plain, _ = finished(tmp_path / "plain", torchrun=TWO)
    _, compiled, _ = finished(tmp_path / "compiled", f"{MOVING} --compile --recompute", torchrun=TWO)
    alike(compiled, plain, train_loss=1e-3)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform != "linux", reason="looks for the processes in /proc")
def test_sigusr1_on_one_rank_saves_and_one_process_finishes_what_two_began(tmp_path: Path) -> None:
    process = start(tmp_path / "moved", torchrun=TWO)
    until_lines(process, tmp_path / "moved")
    os.kill(workers(process)[1], signal.SIGUSR1)
    said, errors = process.communicate(timeout=120)
    assert "the same command goes on from there" in said
    assert "exitcode  : 130" in errors  # torchrun's own summary
    _, record, notes = finished(tmp_path / "moved")
    assert "started by 2 process(es) and resumes with 1. The batch stays at 30" in notes
    _, alone, _ = finished(tmp_path / "one")
    alike(record, alone, train_loss=1e-3)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_mistake_is_told_once_and_found_at_the_end_of_what_torchrun_prints(tmp_path: Path) -> None:
    for words, told in {
        "train --model resnett18": "Unknown model 'resnett18'",
        f"train --data imagenet {tmp_path}": "imagenet",
        "train --no-such-flag": "No such option",
    }.items():
        _, errors = start(tmp_path / "out", words, torchrun=TWO).communicate()
        assert sum(told in line and line.startswith(("rarefy:", "Error:")) for line in errors.splitlines()) == 1, errors
        assert errors.count("exitcode  : 2") == 2 or "no-such" in words, errors
        assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform != "linux", reason="looks for the processes in /proc")
def test_a_rank_that_hangs_is_named_when_patience_ends(tmp_path: Path) -> None:
    process = start(tmp_path / "hangs", f"{MOVING} --rank-timeout 10", torchrun=TWO)
    until_lines(process, tmp_path / "hangs")
    hanging = workers(process)[1]
    os.kill(hanging, signal.SIGSTOP)
    _, errors = process.communicate()  # torchrun kills what does not end, half a minute later
    assert "Rank 1 is gone" in errors
    finished(tmp_path / "hangs", torchrun=TWO)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform != "linux", reason="looks for the processes in /proc")
def test_sharded_weights_survive_a_killed_rank_and_become_whole_again(tmp_path: Path) -> None:
    digest, two, _ = finished(tmp_path / "two", f"{MOVING} --shard", torchrun=TWO)
    assert two["environment"]["sharded"]
    _, errors, seconds = killed(tmp_path / "killed", f"{MOVING} --fsdp")
    assert seconds < 30
    assert "Rank 1 is gone" in errors
    shutil.copytree(tmp_path / "killed", tmp_path / "moved")
    again, record, _ = finished(tmp_path / "killed", f"{MOVING} --shard", torchrun=TWO)
    assert (again, record["metrics"]) == (digest, two["metrics"])
    _, alone, _ = finished(tmp_path / "moved")
    alike(alone, two, train_loss=1e-3)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform != "linux", reason="looks for the processes in /proc")
def test_a_machine_that_dies_is_done_without(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    meeting = f"--rdzv-backend=c10d --rdzv-endpoint=127.0.0.1:{port} --rdzv-id=run --rdzv-conf=last_call_timeout=20"
    elastic = f"--nnodes=1:2 --nproc-per-node=1 --local-addr=127.0.0.1 --max-restarts=3 {meeting}"
    one = start(tmp_path / "out", f"{MOVING} --epochs 40", torchrun=elastic)
    while not answers(port):  # the one that others meet at is to survive
        time.sleep(0.1)
    other = start(tmp_path / "out", f"{MOVING} --epochs 40", torchrun=elastic)
    until_lines(one, tmp_path / "out")
    victims = [other.pid, *workers(other).values()]
    assert list(workers(one)) == [0]
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    _, errors = one.communicate()
    other.communicate()
    assert one.returncode == 0, errors
    assert "started by 2 process(es) and resumes with 1" in errors
    (folder,) = (tmp_path / "out").iterdir()
    assert json.loads((folder / "record.json").read_text())["environment"]["ranks"] == 1
