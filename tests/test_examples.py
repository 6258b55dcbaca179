"""What users copy: every example runs as a program."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("*.py"))
SAYS = {  # what the last lines of each must say
    "gains": r"test accuracy, % .* points\n(.*\n)*weights .* 20\.0 times\n(.*\n)*prediction of 1, ms .* times",
    "finetune_timm": r"pictures of flower, temple: accuracy [01]\.\d+\n983528 of 4917640 weights kept",
    "find_density": r"Density 0\.\d+ is within 2 points of dense\.\n\d+ trainings; see find_density.html",
    "own_loop": r"2128 of 21280 weights kept\nown_loop\.safetensors has [\d,]+ bytes, \d+% of dense",
    "ema": r"test accuracy of the average model 0\.\d+",
    "huggingface_loop": r"test accuracy 0\.\d+ with \d+ of \d+ weights kept",
    "ray_train": r"test accuracy 0\.\d+, trained by 2 workers",
    "language_model": r"12,288 of 196,608 weights kept.*\nheld out: [3-6]\.\d+ bits a character",
    "lightning_loop": r"restored: same masks: True\n(.*\n)*12 epochs: .*largest pruned weight 0\.0",
}
SHORT = ("--layers", "1", "--steps", "8", "--density", "0.0625", "--topology", "set", "--scaling", "supar")
ARGUMENTS = {"language_model": [*SHORT, "--text", str(ROOT / "docs" / "masks.md")]}  # by itself it trains for minutes
# Ray starts a cluster, gains measures times, large packages take long to import. What find_density and language_model
# do, tests/search and test_language_model.py do in this process.
SLOW = {"ray_train", "language_model", "gains", "finetune_timm", "lightning_loop", "find_density"}
NEEDS = {"lightning_loop": ("lightning", "pytorch_lightning"), "ray_train": ("ray.train.torch",)}  # one of these


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in EXAMPLES]
)
def test_an_example_runs_and_says_what_it_promises(name: str, tmp_path: Path) -> None:
    packages = NEEDS.get(name, ())
    if packages and not any(is_there(package) for package in packages):
        pytest.skip(f"needs {' or '.join(packages)}")
    strict = [] if packages else ["-W", "error"]
    command = [sys.executable, *strict, str(ROOT / "examples" / f"{name}.py"), *ARGUMENTS.get(name, [])]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(SAYS[name], done.stdout), done.stdout


SRUN = """shift; for task in 0 1; do SLURM_PROCID=$task SLURM_LOCALID=$task SLURM_NTASKS=2 "$@" || code=$?; done
exit ${code:-0}"""
FAKES = {
    "scontrol": 'if [ "$1" = show ]; then echo node7; echo node8; else echo "scontrol $*"; fi',
    "srun": SRUN,
    "python": 'echo "rank $RANK of $WORLD_SIZE on gpu $LOCAL_RANK meets at $MASTER_ADDR:$MASTER_PORT: $*"; exit $CODE',
}


@pytest.mark.parametrize(("code", "queued"), [(0, []), (2, []), (130, ["scontrol requeue 42"])])
def test_the_slurm_script_starts_ranks_and_queues_again_what_was_preempted(
    code: int, queued: list[str], tmp_path: Path
) -> None:
    for name, text in FAKES.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    job = {"SLURM_JOB_ID": "42", "SLURM_JOB_NODELIST": "node[7-8]", "CODE": str(code)}
    environment = os.environ | job | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = ["bash", str(ROOT / "examples" / "slurm_train.sh"), "--data", "cifar10", "--set", "a=b c"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, "")
    told = "meets at node7:20042: -m rarefy train --data cifar10 --set a=b c"
    assert done.stdout.splitlines() == [f"rank {r} of 2 on gpu {r} {told}" for r in (0, 1)] + queued


def is_there(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ImportError:  # something above it lacks what it needs
        return False


def test_every_example_is_checked() -> None:
    assert sorted(SAYS) == EXAMPLES
