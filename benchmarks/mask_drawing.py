"""Mask drawing: the masks of a WideResNet-50-2 (69 million weights), exact and seeded, against torch's random numbers.

Run: python benchmarks/mask_drawing.py [--density 0.05] [--repeats 7]

Prints, each as the median of paired runs in one process:
- the time to draw the masks, in seconds (the promise: under 2) and against that of ``torch.rand(n) < density`` over the
  same shapes, which gives neither exact counts nor nested masks;
- the time to write zeros with them once (``Masks.apply_``) against ``weight.mul_(mask)``;
and, from a fresh process, the rise of its peak resident memory while it draws, masks returned included, against the
bytes of the weights in float32 (the promise: under 1.5).
"""

from __future__ import annotations

import argparse
import math
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from rarefy.masks import Masks, draw_masks

Shapes = dict[str, tuple[int, ...]]


def wide_resnet_50_2() -> Shapes:
    """Shapes of the convolutions and the classifier of Wide ResNet-50-2 for ImageNet."""
    shapes: Shapes = {"conv1.weight": (64, 3, 7, 7)}
    incoming = 64
    for stage, (blocks, planes) in enumerate([(3, 64), (4, 128), (6, 256), (3, 512)], start=1):
        width, outgoing = 2 * planes, 4 * planes
        for block in range(blocks):
            at = f"layer{stage}.{block}"
            shapes[f"{at}.conv1.weight"] = (width, incoming, 1, 1)
            shapes[f"{at}.conv2.weight"] = (width, width, 3, 3)
            shapes[f"{at}.conv3.weight"] = (outgoing, width, 1, 1)
            if block == 0:
                shapes[f"{at}.downsample.0.weight"] = (outgoing, incoming, 1, 1)
            incoming = outgoing
    return {**shapes, "fc.weight": (1000, 2048)}


def draw(shapes: Shapes, density: float, seed: int = 17) -> Masks:
    """What is measured: one exact mask a layer."""
    return draw_masks({name: round(density * math.prod(shape)) for name, shape in shapes.items()}, shapes, seed)


def bernoulli(shapes: Shapes, density: float) -> list[torch.Tensor]:
    """What it is measured against: one mask a layer, right on average."""
    return [torch.rand(shape) < density for shape in shapes.values()]


def paired(ours: Callable[[], object], theirs: Callable[[], object], repeats: int) -> tuple[list[float], list[float]]:
    """Seconds of both, one after the other, several times, after one run of each that does not count."""
    ours(), theirs()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for measured, act in zip(times, (ours, theirs), strict=True):
            start = time.perf_counter()
            act()
            measured.append(time.perf_counter() - start)
    return times


def report(label: str, times: tuple[list[float], list[float]], other: str) -> None:
    """One line: medians, and the median of the paired ratios."""
    ratio = statistics.median(a / b for a, b in zip(*times, strict=True))
    ours, theirs = map(statistics.median, times)
    print(f"{label:<14} {ours:6.3f} s   {other:<24} {theirs:6.3f} s   ratio {ratio:.2f}")


def peak_bytes() -> int:
    """Highest resident memory of this process so far; from /proc, because Linux's ru_maxrss inherits the parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        (peak,) = (line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(peak) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def child(density: float) -> None:
    """Draws once in this fresh process and prints by how many bytes its peak memory rose."""
    draw({"warm.up": (64, 64)}, density)
    before = peak_bytes()
    masks = draw(wide_resnet_50_2(), density)
    print(peak_bytes() - before if len(masks) else 0)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--density", type=float, default=0.05)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(options.density)
    measure_time(options.density, options.repeats)
    measure_memory(options.density)


def measure_time(density: float, repeats: int) -> None:
    """Prints the times of drawing and of writing zeros."""
    shapes = wide_resnet_50_2()
    masks = draw(shapes, density)
    print(f"{len(shapes)} layers, {masks.kept:,} of {masks.total:,} kept; {torch.get_num_threads()} torch threads")
    drawing = paired(lambda: draw(shapes, density), lambda: bernoulli(shapes, density), repeats)
    report("draw masks", drawing, "torch.rand(n) < density")
    weights = {name: torch.ones(shape) for name, shape in shapes.items()}
    writing = paired(lambda: masks.apply_(weights), lambda: multiply(weights, masks), repeats)
    report("write zeros", writing, "weight.mul_(mask)")


def measure_memory(density: float) -> None:
    """Prints the rise of a fresh process's peak memory."""
    command = [sys.executable, __file__, "--child", "--density", str(density)]
    rise = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    dense = 4 * sum(map(math.prod, wide_resnet_50_2().values()))
    print(f"peak memory    {rise / 1e6:6.1f} MB  float32 weights {dense / 1e6:15.1f} MB  ratio {rise / dense:.2f}")


def multiply(weights: dict[str, torch.Tensor], masks: Masks) -> None:
    """The usual way to mask, which leaves NaN and -0.0 behind."""
    for name, weight in weights.items():
        weight.mul_(masks[name])


if __name__ == "__main__":
    main()
