"""What commands import: it decides how long they take. Counted, as seconds depend on what else the machine does."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SLOW = {
    "torch._dynamo",
    "torch.distributed.tensor",
    "sympy",
    "numba",
    "sklearn",
    "pandas",
    "scipy",
    "matplotlib",
    "torchvision",
    "plotly",
}
CODE = """
import sys
from rarefy.cli import main
for words in {commands!r}:
    try:
        main(words.split())
    except SystemExit as stop:
        assert not stop.code
    print("imported:", *sorted(set({slow!r}) & set(sys.modules)))
"""


def list_imports(*commands: str, cwd: object) -> list[set[str]]:
    """Runs commands one after the other in one new process; the slow modules that are imported after each."""
    code = CODE.format(commands=commands, slow=sorted({"torch", *SLOW}))
    variables = os.environ | {"OMP_DISPLAY_ENV": "verbose"}  # OpenMP prints its settings when torch loads it
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd, check=True, env=variables
    )
    if sys.platform == "linux":
        assert "GOMP_SPINCOUNT = '10000'" in done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("imported:")]
    return [set(line.split()[1:]) for line in lines]


def test_a_small_training_imports_torch_and_for_its_picture_matplotlib(tmp_path) -> None:
    train = "train --quiet --model mlp_16 --epochs 1 --sparse --fix --seed"
    densities = "densities cifar_resnet_8_4"
    counted, first, finished, other = list_imports(densities, f"{train} 1", f"{train} 1", f"{train} 2", cwd=tmp_path)
    assert counted == {"torch"}
    assert first == finished == other == {"torch", "matplotlib"}


@pytest.mark.slow
def test_a_finished_run_is_shown_without_matplotlib(tmp_path) -> None:
    train = "train --quiet --model mlp_16 --epochs 1"
    list_imports(train, cwd=tmp_path)
    assert list_imports(train, cwd=tmp_path) == [{"torch"}]
