"""Times training steps of the cpu engine in two checkouts: python benchmarks/engine_pair.py OLD NEW [NET:DENSITY ...].

OLD and NEW are folders of checkouts. Each runs in a process of its own. Their steps alternate, so that noise affects
both. One thread each, unless OMP_NUM_THREADS says more: threads of the waiting process would keep cores busy.
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
import sys, time
sys.path.insert(0, sys.argv[1] + "/src")
import torch
from rarefy import engines, models, sparsify
name, _, density = sys.argv[2].partition(":")
generator = torch.Generator().manual_seed(17)
batch = 256 if name.startswith("mlp") else 128
model = models.build(models.parse(name), generator=generator)
images = torch.randn(batch, 3, 32, 32, generator=generator)
labels = torch.randint(10, (batch,), generator=generator)
sparsity = sparsify(model, density=float(density), allocation="erk", seed=17)
use_engine = engines.use_engine if hasattr(engines, "use_engine") else engines.install
use_engine(model, sparsity, "cpu")
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
def step():
    optimizer.zero_grad(set_to_none=True)
    torch.nn.functional.cross_entropy(model(images), labels).backward()
    optimizer.step()
step(); step()
print("ready", flush=True)
for _ in sys.stdin:
    start = time.perf_counter()
    step()
    print(time.perf_counter() - start, flush=True)
"""


def time_pair(folders: list[str], case: str) -> list[list[float]]:
    """Measures the seconds of each checkout's steps."""
    command = [sys.executable, "-c", CHILD]
    environment = {"OMP_NUM_THREADS": "1", **os.environ}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
    paths = [str(Path(folder).resolve()) for folder in folders]
    runs = [subprocess.Popen([*command, path, case], **pipes) for path in paths]  # type: ignore[call-overload]
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
        old, new = time_pair(sys.argv[1:3], case)
        low, middle, high = statistics.quantiles([a / b for a, b in zip(old, new, strict=True)], n=4)
        milliseconds = (1e3 * statistics.median(column) for column in (old, new))
        text = "{:.2f} ms to {:.2f} ms".format(*milliseconds)
        print(f"{case:22s} {text}, old / new {middle:.3f} ({low:.3f} to {high:.3f})", flush=True)
