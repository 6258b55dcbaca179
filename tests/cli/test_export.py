"""`rarefy export` as a person types it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

RESULT = Path(__file__).parents[2] / "experiments" / "results" / "465feb064986"


def test_says_what_was_written_and_how_much_it_differs(
    rarefy: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = rarefy("export --to safetensors", RESULT)
    assert (done.code, done.err) == (0, "")
    rows = {line.split("  ")[0]: " ".join(line.split()) for line in done.out.splitlines()}
    assert rows["written"] == "written 465feb064986.safetensors"
    assert rows["size"] == f"size {(tmp_path / '465feb064986.safetensors').stat().st_size:,} bytes"
    assert rows["largest difference of a logit"].endswith(" 0")
    assert rows["same class"].endswith("100.00%")
    assert "random numbers" in rows["compared on"]  # no data here


def test_mistakes_are_one_sentence_each(rarefy: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "hub, onnx, safetensors, torch" in rarefy("export", RESULT).sentence
    assert "Did you mean 'onnx'?" in rarefy("export --to onx", RESULT).sentence
    assert "'sparse'" in rarefy("export --to torch --sparse", RESULT).sentence
    assert "no run 'nowhere'" in rarefy("export nowhere --to torch").sentence
    assert "is a folder" in rarefy("export --to safetensors --out", tmp_path, RESULT).sentence
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert "[export]" in rarefy("export --to onnx", RESULT).sentence
    assert list(tmp_path.iterdir()) == []
