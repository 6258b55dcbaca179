"""Times training steps of the cpu engine in two checkouts: python benchmarks/engine_pair.py OLD NEW [NET:DENSITY ...].

OLD and NEW are folders of checkouts. Each runs in a process of its own; steps take turns, so that noise hits both. One
thread each unless OMP_NUM_THREADS says more: threads of the process that waits would keep cores busy.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

CASES = [f"{net}:{d}" for net in ("cifar_resnet_20", "vgg16", "mlp_1024_1024") for d in (0.2, 0.1, 0.05, 0.01)]
ROUNDS = 31
CHILD = """
import inspect, sys, time
sys.path[:0] = [sys.argv[1] + "/benchmarks", sys.argv[1] + "/src"]
import engine, torch
from rarefy import models, sparsify
from rarefy.engines._cpu import fuse, ready
ready()
name, _, density = sys.argv[2].partition(":")
generator = torch.Generator().manual_seed(17)
batch = 256 if name.startswith("mlp") else 128
model = models.build(models.parse(name), generator=generator)
images = torch.randn(batch, 3, 32, 32, generator=generator)
labels = torch.randint(10, (batch,), generator=generator)
sparse = engine.swap(model, dict(sparsify(model, density=float(density), allocation="erk", seed=17).masks))
fuse(sparse, images) if len(inspect.signature(fuse).parameters) > 1 else fuse(sparse)
step = engine.step_of(sparse, images, labels)
step(); step()
print("ready", flush=True)
for _ in sys.stdin:
    start = time.perf_counter()
    step()
    print(time.perf_counter() - start, flush=True)
"""


def pair(folders: list[str], case: str) -> list[list[float]]:
    """Seconds of each checkout's steps."""
    command = [sys.executable, "-c", CHILD]
    environment = {"OMP_NUM_THREADS": "1", **os.environ}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
    runs = [subprocess.Popen([*command, str(Path(one).resolve()), case], **pipes) for one in folders]  # type: ignore[call-overload]
    for run in runs:
        run.stdout.readline()
    times: list[list[float]] = [[], []]
    for turn in range(ROUNDS):
        for index in (0, 1) if turn % 2 else (1, 0):
            runs[index].stdin.write("step\n")
            runs[index].stdin.flush()
            times[index].append(float(runs[index].stdout.readline()))
    for run in runs:
        run.communicate()
    return times


if __name__ == "__main__":
    for case in sys.argv[3:] or CASES:
        old, new = pair(sys.argv[1:3], case)
        low, middle, high = statistics.quantiles([a / b for a, b in zip(old, new, strict=True)], n=4)
        milliseconds = (1e3 * statistics.median(column) for column in (old, new))
        text = "{:.2f} ms to {:.2f} ms".format(*milliseconds)
        print(f"{case:22s} {text}, old / new {middle:.3f} ({low:.3f} to {high:.3f})", flush=True)
