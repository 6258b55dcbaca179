"""Benchmarks that a machine may be too small for still run: on little, or with a word why they do not."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parents[1] / "benchmarks"


def run(name: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.setattr(sys, "argv", [name, *words.split()])
    runpy.run_path(str(FOLDER / name), run_name="__main__")


def test_gpu_training_on_little(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torchvision")
    run("gpu_training.py", "--device cpu --tiny --workers 0 --rounds 1 --seconds 0.001", monkeypatch)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["plain", "rarefy", "ratio", "dense", "masked", "ratio"]
    plain, rarefy, dense, masked = (float(re.findall(r"([\d.]+) ms", lines[i])[0]) for i in (0, 1, 3, 4))
    assert float(lines[2].split()[2].rstrip("x")) == pytest.approx(plain / rarefy, rel=0.02)
    assert float(lines[5].split()[2].rstrip(",")) == pytest.approx(masked / dense, rel=0.02)


def test_gpu_training_without_a_gpu(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torchvision")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as stop:
        run("gpu_training.py", "", monkeypatch)
    assert stop.value.code == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("There is no GPU, so nothing was measured") and told.err.count("\n") == 1


def test_hook_overhead_counts_what_a_static_step_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    threads = torch.get_num_threads()
    run("hook_overhead.py", "--model cifar_resnet_8_4 --rounds 2", monkeypatch)
    torch.set_num_threads(threads)
    files, functions = re.findall(r"(\d+) files, (\d+) functions", capsys.readouterr().out)[0]
    assert 0 < int(files) <= 8 and 0 < int(functions) <= 20  # 12 and 41 before attachments cached what they look up


def test_rate_transfer_names_the_best_rate_of_each_density(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run("rate_transfer.py", f"--seeds 1 --steps 1 --csv {tmp_path / 'losses.csv'}", monkeypatch)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[-5:]] == ["none", "supar", "none", "supar", "none"]
    assert len(lines) == 5 * 7 + 5
    assert len((tmp_path / "losses.csv").read_text().splitlines()) == 1 + 5 * 7


def test_language_models_are_trained_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "fox.txt").write_text("the quick brown fox jumps over the lazy dog. " * 60)
    words = f"rates --csv {tmp_path / 'rates.csv'} --text {tmp_path / 'fox.txt'} --steps 1 --first 6"
    run("language.py", f"{words} --seeds 1", monkeypatch)
    first = capsys.readouterr().out.splitlines()
    assert [line.split()[4] for line in first] == 5 * ["none"] + ["supar"]
    assert [float(line.split()[6]) for line in first] == 5 * [1.0] + [1 / 64]
    run("language.py", f"{words} --seeds 2", monkeypatch)
    rows = (tmp_path / "rates.csv").read_text().splitlines()
    assert len(capsys.readouterr().out.splitlines()) == 6, "those of the first seed are in the file"
    assert len(rows) == 1 + 2 * 6 and len(set(rows)) == len(rows)
