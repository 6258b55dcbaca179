"""Sweeps from the command line, in processes: killed, and started twice at the same time."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from rarefy.pipeline import is_held
from rarefy.records import find
from rarefy.sweeps import read_statuses, read_sweep

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def written(folder: Path, base: dict, **grid: list) -> Path:
    file = folder / "sweep.yaml"
    file.write_text(yaml.safe_dump({"base": base, "grid": grid}))
    return file


def start(file: Path, out: Path) -> subprocess.Popen[str]:
    """A sweep in a process group of its own, as a terminal starts it."""
    command = [sys.executable, "-m", "rarefy", "sweep", str(file), "--out", str(out), "--workers", "2"]
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, start_new_session=True, **pipe)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    text, _ = process.communicate(timeout=3000)
    return process.returncode, text


def wait_for(condition, looks: int = 6000) -> None:
    """Looks again and again; looks are counted, not seconds, which pass while a machine is busy with something else."""
    for _ in range(looks):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen")


def starts(folder: Path) -> list[str]:
    return re.findall(r"(starting|continuing) run", (folder / "log.txt").read_text())


def epochs(folder: Path) -> list[int]:
    return [int(number) for number in re.findall(r'epoch \{"epoch": (\d+)', (folder / "log.txt").read_text())]


def good(file: Path, out: Path, count: int) -> None:
    """As many records as runs, each with its epochs, and nothing else in the folder."""
    assert {status.state.value for status in read_statuses(read_sweep(file), out)} == {"done"}
    records = find(out)
    assert len(records) == len({record.id for record in records}) == len(list(out.iterdir())) == count
    for record in records:
        assert [row.epoch for row in record.history] == list(range(1, record.config["training"]["epochs"] + 1))


def test_two_at_the_same_time_train_each_run_once(tmp_path: Path, tiny_run: dict) -> None:
    file, out = written(tmp_path, tiny_run, seed=[1, 2, 3]), tmp_path / "runs"
    both = [start(file, out), start(file, out)]
    for code, text in map(ended, both):
        assert code == 0, text
        assert "3 of 3 done" in text
    good(file, out, 3)
    assert [starts(folder) for folder in out.iterdir()] == [["starting"]] * 3
    assert [epochs(folder) for folder in out.iterdir()] == [[1, 2]] * 3


def test_stopped_and_killed_it_goes_on_where_it_was(tmp_path: Path, tiny_run: dict) -> None:
    ends = [(signal.SIGTERM, 130), (signal.SIGINT, 130), (signal.SIGKILL, -9)]
    file, out = written(tmp_path, tiny_run | {"epochs": 400}, seed=[1]), tmp_path / "runs"
    (run,) = read_sweep(file)
    history = out / run.id / "history.jsonl"
    for number, code in ends:
        before = len(history.read_text().splitlines()) if history.exists() else 0
        process = start(file, out)
        wait_for(lambda before=before: history.exists() and len(history.read_text().splitlines()) > before + 5)
        process.send_signal(number)
        found, text = ended(process)
        assert found == code, text
        if code == 130:
            assert "1 stopped" in text
            assert "The same command goes on" in text
        wait_for(lambda: not is_held(read_statuses([run], out)[0].paths))
    assert ended(start(file, out))[0] == 0
    good(file, out, 1)
    assert starts(out / run.id) == ["starting", *["continuing"] * len(ends)]
    assert epochs(out / run.id) == list(range(1, 401)), "no epoch twice: even a killed sweep's runs save as they end"


def test_thirty_runs_killed_twice_and_started_twice(tmp_path: Path) -> None:
    base = {"model": "mlp_32_32", "data": "digits", "epochs": 1, "sparse": True, "fix": True, "engine": "masked"}
    grid = {"density": [0.1, 0.3, 0.5], "sparse_init": ["uniform", "erk"], "seed": [1, 2, 3, 4, 5]}
    file, out = written(tmp_path, base, **grid), tmp_path / "runs"
    for count, workers_too in ((4, False), (10, True)):
        process = start(file, out)
        wait_for(lambda count=count: len(list(out.glob("*/record.json"))) >= count)
        below = children(process.pid)
        assert len(below) == 2
        for group in [process.pid, *below] if workers_too else [process.pid]:
            os.killpg(group, signal.SIGKILL)
        ended(process)
    assert len(find(out)) < 30, "there is something left to do"
    both = [start(file, out), start(file, out)]
    for code, text in map(ended, both):
        assert code == 0, text
        assert "30 of 30 done" in text
        print(text)
    good(file, out, 30)
    trained = [len(epochs(folder)) for folder in out.iterdir()]
    print("times each run was trained:", trained, "attempts:", [len(starts(folder)) for folder in out.iterdir()])
    assert max(trained) == 1, "none twice"
    assert sum(trained) >= 29, "a kill may come after an epoch was saved and before it was logged"


def children(parent: int) -> list[int]:
    """Processes that a process has started; each leads a group of its own, with its forks."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True).stdout
    pairs = [line.split() for line in listed.splitlines()[1:]]
    return [int(pid) for pid, above in pairs if int(above) == parent]
