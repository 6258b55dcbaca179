"""CPU time of the commands that answer at once and of those that need torch, in multiples of `import torch`.

    python benchmarks/help_startup.py [runs]

Every command runs in a fresh Python, in rounds with `import torch`; medians of `runs` rounds are shown.
Target: `rarefy --help` under 0.3 s, everything included.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

TARGET_SECONDS = 0.3
TINY = "--data digits --model mlp_8 --epochs 1 --device cpu --engine masked --quiet"
SWEEP = "{base: {epochs: 1, sparse: true, fix: true, model: mlp_8}, grid: {density: [0.1, 0.5]}}"
COMMANDS = (
    "--help",
    "train --help",
    "runs",
    "compare runs",
    "report runs --quiet",
    "densities mlp_8",
    "sweep sweep.yaml --dry-run",
    f"train {TINY}",
    "eval runs --quiet",
)


def measure_cpu_seconds(arguments: list[str], folder: Path) -> float:
    """Measure user and system time of a fresh Python."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *arguments],
        cwd=folder, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(rounds: int = 3) -> int:
    """Measure all commands on two finished runs; return 1 if the target is missed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "sweep.yaml").write_text(SWEEP)
        for sparse in ("", "--sparse --fix --density 0.5"):
            measure_cpu_seconds(["-m", "rarefy", "train", *TINY.split(), *sparse.split()], folder)
        measure_cpu_seconds(["-m", "rarefy", "eval", "runs", "--quiet"], folder)  # so that later ones find it done
        seconds: dict[str, list[float]] = {command: [] for command in ("import torch", *COMMANDS)}
        for _ in range(rounds):
            seconds["import torch"].append(measure_cpu_seconds(["-c", "import torch"], folder))
            for command in COMMANDS:
                seconds[command].append(measure_cpu_seconds(["-m", "rarefy", *command.split()], folder))
    torch = statistics.median(seconds["import torch"])
    print(f"CPU seconds, medians of {rounds} rounds on {os.cpu_count()} cores")
    for command, measured in seconds.items():
        median = statistics.median(measured)
        print(f"{median:6.2f} s  {median / torch:5.2f} x import torch   {command}")
    return 0 if statistics.median(seconds["--help"]) < TARGET_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
