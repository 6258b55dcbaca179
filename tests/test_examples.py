"""What users copy: every example runs as a program, and every block of the page on own loops runs as it stands."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("*.py"))
SAYS = {  # what the last lines of each must say
    "find_density": r"Density 0\.\d+ is within 2 points of dense\.\n\d+ trainings; see find_density.html",
    "own_loop": r"2128 of 21280 weights kept\nown_loop\.safetensors has [\d,]+ bytes, \d+% of dense",
    "ema": r"test accuracy of the average model 0\.\d+",
    "huggingface_loop": r"test accuracy 0\.\d+ with \d+ of \d+ weights kept",
    "ray_train": r"test accuracy 0\.\d+, trained by 2 workers",
    "lightning_loop": r"restored: same masks: True\n(.*\n)*12 epochs: .*largest pruned weight 0\.0",
}
NEEDS = {"lightning_loop": ("lightning", "pytorch_lightning"), "ray_train": ("ray.train.torch",)}  # one of these
PAGES = ["own_loop.md", "engines.md", "find-density.md", "distributed.md"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs_and_says_what_it_promises(name: str, tmp_path: Path) -> None:
    packages = NEEDS.get(name, ())
    if packages and not any(is_there(package) for package in packages):
        pytest.skip(f"needs {' or '.join(packages)}")
    strict = [] if packages else ["-W", "error"]
    command = [sys.executable, *strict, str(ROOT / "examples" / f"{name}.py")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(SAYS[name], done.stdout), done.stdout


def is_there(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ImportError:  # something above it lacks what it needs
        return False


def test_every_example_is_checked() -> None:
    assert sorted(SAYS) == EXAMPLES


@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_run_from_top_to_bottom(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAREFY_CACHE", str(tmp_path))
    path = ROOT / "docs" / page
    text = path.read_text()
    blocks = list(re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    assert blocks
    scope: dict[str, object] = {"__name__": "page"}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for block in blocks:
            line = text.count("\n", 0, block.start(1))
            exec(compile("\n" * line + block[1], str(path), "exec"), scope)  # so: a failure names the page's own line
