"""CPU time of commands in multiples of `import torch`, of a run in a sweep, and of compiling the kernels of a network.

    python benchmarks/startup.py [ROUNDS]

Every command runs in a fresh Python, in rounds with `import torch`; the fastest of `ROUNDS` rounds is shown, after one
that writes the bytecode of all modules into a folder of its own. Seconds are those of the processor (user and system),
of all processes that a command starts. Targets: `--help` 0.3 s, a small training 2.05 times `import torch`, a run of a
sweep 0.6 s, the kernels of cifar_resnet_20 5 s. Kernels are compiled once on a machine: "first use" is with an empty
cache of kernels, "later" loads them.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rarefy.cores import limit_spinning

TARGET_SECONDS = 0.3
TINY = "--data digits --model mlp_8 --epochs 1 --device cpu --quiet"
SWEEP = "{base: {epochs: 1, sparse: true, fix: true, model: mlp_8}, grid: {density: [0.1, 0.5], seed: [%s]}}"
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
NEW_RUN = f"train {TINY} --sparse --fix --density 0.3 --out"
FIND = f"find-density --fix {TINY} --min-density 0.4 --seeds 2 --out"
FEW, MANY = 2, 12  # runs of a short sweep and of a longer one: the difference is that of ten runs
MODEL = """
import time, torch, rarefy
from rarefy import models
from rarefy.rng import Streams
network = models.parse("cifar_resnet_20")
model = models.build(network, in_channels=3, classes=10, size=(32, 32), generator=Streams(1)("init"))
sparsity, start = rarefy.sparsify(model, density=0.1), time.process_time()
{use}
print(time.process_time() - start)
"""
USES = {
    "use_engine": 'rarefy.use_engine(model, sparsity, "cpu", inputs=torch.ones(8, 3, 32, 32))',
    "compile_inference": "rarefy.compile_inference(model, torch.ones(1, 3, 32, 32))",
}


def measure_cpu_seconds(arguments: list[str], folder: Path) -> float:
    """Measure user and system time of a fresh Python and of the processes that it starts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _run(arguments, folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _run(arguments: list[str], folder: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"PYTHONPYCACHEPREFIX": str(folder / "bytecode"), "RAREFY_CACHE": str(folder / "cache")}
    limit_spinning(environment)  # as the commands do: threads that wait count as busy
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.stdout


def _measure_command(words: str, folder: Path) -> float:
    return measure_cpu_seconds(["-m", "rarefy", *words.split()], folder)


def measure_kernels(folder: Path) -> dict[str, float]:
    """Measures what a network's kernels take at their first use on a machine and later."""
    seconds = {}
    for name, use in USES.items():
        code = MODEL.format(use=use)
        _run(["-c", code], folder)  # writes the bytecode of what it imports
        shutil.rmtree(folder / "cache" / "kernels")
        seconds[f"{name}, cifar_resnet_20, first use"] = float(_run(["-c", code], folder))
        seconds[f"{name}, cifar_resnet_20, later"] = float(_run(["-c", code], folder))
    return seconds


def main(rounds: int = 3) -> int:
    """Measure all commands on two finished runs; return 1 if the target of `--help` is missed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for count in (FEW, MANY):
            (folder / f"sweep{count}.yaml").write_text(SWEEP % ", ".join(map(str, range(count // 2))))
        (folder / "sweep.yaml").write_text(SWEEP % "1")
        for sparse in ("", "--sparse --fix --density 0.5"):
            _measure_command(f"train {TINY} {sparse}", folder)
        _measure_command("eval runs --quiet", folder)  # so that later ones find it done
        kernels = measure_kernels(folder)
        seconds: dict[str, list[float]] = {}
        for turn in range(rounds + 1):
            measured = {"import torch": measure_cpu_seconds(["-c", "import torch"], folder)}
            measured |= {command: _measure_command(command, folder) for command in COMMANDS}
            measured["train, a run that is new"] = _measure_command(f"{NEW_RUN} new{turn}", folder)
            measured["find-density, 8 runs at most"] = _measure_command(f"{FIND} found{turn}", folder)
            few, many = (
                _measure_command(f"sweep sweep{count}.yaml --workers 1 --quiet --out s{count}-{turn}", folder)
                for count in (FEW, MANY)
            )
            measured["sweep, each run"] = (many - few) / (MANY - FEW)
            for command, value in measured.items() if turn else ():  # the first round writes the bytecode
                seconds.setdefault(command, []).append(value)
    torch = min(seconds["import torch"])
    print(f"CPU seconds, the fastest of {rounds} rounds on {os.cpu_count()} cores")
    for command, values in seconds.items():
        print(f"{min(values):6.2f} s  {min(values) / torch:5.2f} x import torch   {command}")
    for name, value in kernels.items():
        print(f"{value:6.2f} s  {value / torch:5.2f} x import torch   {name}")
    return 0 if min(seconds["--help"]) < TARGET_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
