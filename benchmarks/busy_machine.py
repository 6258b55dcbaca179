"""Measures training steps alone and beside other work: one busy process per core.

    python benchmarks/busy_machine.py [--net cifar_resnet_20_32] [--density 0.05] [--threads 1,2,4] [--rounds 21]

Each line is the median of the rounds with that number of threads, dense and with the engine cpu, first alone, then
beside processes that do nothing but compute. With one of them per core a step has half of each core: twice the time is
what can be had. More threads than cores are no use, but must not take many times as long.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import rarefy
from rarefy import models
from rarefy.cores import count_cores


@contextlib.contextmanager
def occupy(cores: int) -> Iterator[None]:
    """Keeps so many cores busy."""
    code = "import os; parent = os.getppid()\nwhile os.getppid() == parent: sum(range(100_000))"
    others = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(cores)]
    try:
        yield
    finally:
        for process in others:
            process.kill()
            process.wait()


def make_step(model: nn.Module, images: Tensor, labels: Tensor) -> Callable[[], None]:
    """Makes a training step."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()

    return step


def measure(step: Callable[[], None], rounds: int) -> float:
    """Measures the median milliseconds of a step."""
    times = []
    for _ in range(rounds + 2):
        start = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[2:])


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", default="cifar_resnet_20_32")
    parser.add_argument("--density", type=float, default=0.05)
    parser.add_argument("--threads", type=lambda text: [int(number) for number in text.split(",")], default=[1, 2, 4])
    parser.add_argument("--rounds", type=int, default=21)
    options = parser.parse_args()
    generator = torch.Generator().manual_seed(17)
    dense = models.build(models.parse(options.net), generator=generator)
    images, labels = torch.randn(128, 3, 32, 32, generator=generator), torch.randint(10, (128,), generator=generator)
    sparse = copy.deepcopy(dense)
    sparsity = rarefy.sparsify(sparse, density=options.density, seed=17)
    rarefy.use_engine(sparse, sparsity, "cpu")
    steps = {"dense": make_step(dense, images, labels), "sparse": make_step(sparse, images, labels)}
    print(
        f"{options.net}, density {options.density:g}, {count_cores()} cores\nthreads  engine  alone ms  busy ms  ratio"
    )
    for threads in options.threads:
        torch.set_num_threads(threads)
        alone = {name: measure(step, options.rounds) for name, step in steps.items()}
        with occupy(count_cores()):
            busy = {name: measure(step, options.rounds) for name, step in steps.items()}
        for name, milliseconds in alone.items():
            print(
                f"{threads:7d}  {name:6s} {milliseconds:9.1f} {busy[name]:8.1f} {busy[name] / milliseconds:6.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
