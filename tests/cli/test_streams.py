"""What the shell gives a command: an output that holds no letter beyond ascii, or is closed early, and signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import TINY

LONG = TINY.replace("--epochs 2", "--epochs 400")
RUN = (sys.executable, "-m", "rarefy")


def start(words: str, out: Path, **options: object) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*RUN, *words.split(), "--out", str(out)], text=True, **(pipes | options))


def wait_for_epoch_3(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert any("  3/400" in line for line in process.stdout), "the run ended before"


def test_an_ascii_output_takes_a_plus_minus_sign(tmp_path: Path) -> None:
    script = "from rarefy.cli._streams import write_any_letter as w; w(); print('92.3 \\u00b1 0.4, \\u6771 \\udcff')"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"92.3 +- 0.4, \\u6771 \\udcff\n"


@pytest.mark.slow
def test_an_output_that_is_closed_ends_a_run_that_is_saved(tmp_path: Path) -> None:
    process = start(f"train {LONG}", tmp_path)
    assert process.stdout is not None
    assert process.stderr is not None
    wait_for_epoch_3(process)
    process.stdout.close()
    assert process.wait(120) == 141
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    assert [path.name for path in tmp_path.glob("*/last.ckpt")] == ["last.ckpt"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_while_it_starts_exits_130(tmp_path: Path, number: int) -> None:
    process = start(f"train {LONG}", tmp_path)
    maps = Path(f"/proc/{process.pid}/maps")
    while "libtorch" not in maps.read_text():  # rarefy's main runs, torch is being imported
        time.sleep(0.01)
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "Traceback" not in err


@pytest.mark.slow
def test_sighup_saves_as_sigterm_does(tmp_path: Path) -> None:
    process = start(f"train {LONG}", tmp_path)
    wait_for_epoch_3(process)
    process.send_signal(signal.SIGHUP)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "the same command goes on" in out
    assert len(list(tmp_path.glob("*/last.ckpt"))) == 1


def test_no_memory_is_a_sentence(rarefy, monkeypatch, tmp_path: Path) -> None:
    for error in (MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")):

        def full(*args: object, error: BaseException = error) -> None:
            raise error

        monkeypatch.setattr("rarefy.records.find", full)
        assert "memory" in rarefy("runs", tmp_path).sentence
