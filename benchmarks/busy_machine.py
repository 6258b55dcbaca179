"""Measures training steps and predictions alone and beside other work: one busy process per core.

    python benchmarks/busy_machine.py [--net cifar_resnet_20_32] [--density 0.05] [--threads 1,2,4] [--seconds 3]
    GOMP_SPINCOUNT=300000 python benchmarks/busy_machine.py    # OpenMP as it is without rarefy's limit

Each line shows a step with that number of threads: the median, the 95th percentile and the mean, first alone, then
beside processes that do nothing but compute. With one of them per core a step has half of each core: twice the time is
what can be had. A call that is shorter than the system's time slice (about 4 ms) takes no longer or a slice longer, so
of predictions the mean counts. More threads than cores are no use, but must not take many times as long.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from rarefy.cores import count_cores, limit_spinning

limit_spinning(os.environ)  # as the commands do, before torch is imported

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import rarefy  # noqa: E402
from rarefy import models  # noqa: E402


class StepTime(NamedTuple):
    """Milliseconds of a step."""

    median: float
    late: float  # the 95th percentile
    mean: float


@contextlib.contextmanager
def occupy(cores: int) -> Iterator[None]:
    """Keeps so many cores busy."""
    code = "import os; parent = os.getppid()\nwhile os.getppid() == parent: sum(range(100_000))"
    others = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(cores)]
    try:
        time.sleep(0.3)  # they start
        yield
    finally:
        for process in others:
            process.kill()
            process.wait()


def make_step(model: nn.Module, images: Tensor, labels: Tensor) -> Callable[[], object]:
    """Makes a training step."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()

    return step


def measure(step: Callable[[], object], seconds: float) -> StepTime:
    """Measures steps for some seconds, at least five."""
    times: list[float] = []
    step()
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds or len(times) < 5:
        start = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - start))
    late = sorted(times)[int(0.95 * len(times))]
    return StepTime(statistics.median(times), late, statistics.fmean(times))


def make_steps(net: str, density: float) -> dict[str, Callable[[], object]]:
    """Makes training steps of a dense and a sparse network, and a prediction for one image."""
    generator = torch.Generator().manual_seed(17)
    dense = models.build(models.parse(net), generator=generator)
    images, labels = torch.randn(128, 3, 32, 32, generator=generator), torch.randint(10, (128,), generator=generator)
    sparse = copy.deepcopy(dense)
    sparsity = rarefy.sparsify(sparse, density=density, seed=17)
    compiled = rarefy.compile_inference(sparse, images[:1])
    rarefy.use_engine(sparse, sparsity, "cpu", inputs=images)
    return {
        "dense": make_step(dense, images, labels),
        "sparse": make_step(sparse, images, labels),
        "predict": lambda: compiled(images[:1]),
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", default="cifar_resnet_20_32")
    parser.add_argument("--density", type=float, default=0.05)
    parser.add_argument("--threads", type=lambda text: [int(number) for number in text.split(",")], default=[1, 2, 4])
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    steps = make_steps(options.net, options.density)
    print(f"{options.net}, density {options.density:g}, {count_cores()} cores; ms: median, 95th percentile, mean")
    print(f"{'threads':7s}  {'step':7s} {'alone':>26s} {'busy':>26s} {'busy / alone':>20s}")
    for threads in options.threads:
        torch.set_num_threads(threads)
        for name, step in steps.items():
            alone = measure(step, options.seconds)
            with occupy(count_cores()):
                busy = measure(step, options.seconds)
            times = " ".join("".join(f"{value:9.2f}" for value in numbers) for numbers in (alone, busy))
            ratios = "".join(f"{b / a:7.2f}" for a, b in zip(alone, busy, strict=True))
            print(f"{threads:7d}  {name:7s}{times}{ratios}", flush=True)


if __name__ == "__main__":
    main()
