"""The page on trainers: its blocks run where the packages are there."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
import torch

PAGE = Path(__file__).parents[2] / "docs" / "integrations.md"
BLOCKS = re.findall(r"<!-- skip: needs ([\w\[\]]+).*?-->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_every_trainer_has_a_block() -> None:
    assert [package for package, _ in BLOCKS] == ["transformers", "lightning", "ray[tune]"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of others' packages, about this machine
@pytest.mark.parametrize(("package", "text"), BLOCKS[:2])
def test_a_block_runs(
    package: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    monkeypatch.chdir(tmp_path)
    with torch.random.fork_rng():
        exec(compile(text, str(PAGE), "exec"), {"__name__": "page"})
    printed = capsys.readouterr().out
    assert "128 of 640 weights kept, topology=rigl" in printed
    assert "mask_overlap" in printed
