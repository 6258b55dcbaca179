"""Measures the memory that a process holds at the peak of a training step, dense and sparse.

    python benchmarks/step_memory.py [--nets vgg16,mlp_1024_1024] [--densities 0.05] [--threads 2]

Each line is a process of its own. Its peak is the largest resident memory (VmHWM of Linux) of some training steps with
SGD and momentum, less what the process held before the model was made, when torch, rarefy and the kernels were loaded.
So it is weights, gradients, momentum, masks, patterns, activations and scratch memory together, as the system counts
them. Dense is the smaller of both memory layouts. "pattern" is what the patterns take per kept weight, "masks" what the
sparsity's masks take.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import subprocess
import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import rarefy
from rarefy import engines, models

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
BATCHES = {"mlp_1024_1024": 256}


def read_status(field: str) -> float:
    """Reads a size from the system's account of this process, in MB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1000


def reset_peak() -> None:
    """Gives free memory back to the system, and starts the peak anew."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


def train(model: nn.Module, sparsity: rarefy.Sparsity | None, images: Tensor, labels: Tensor) -> None:
    """Trains for some steps."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    if sparsity is not None:
        sparsity.attach(optimizer)
    for _ in range(4):
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()


def load_kernels() -> None:
    """Trains a small network, dense and sparse."""
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3)]
    model = nn.Sequential(*layers, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
    images, labels = torch.ones(16, 3, 16, 16), torch.zeros(16, dtype=torch.long)
    train(model, None, images, labels)
    sparsity = rarefy.sparsify(model, density=0.5)
    engines.use_engine(model, sparsity, "cpu")
    train(model, sparsity, images, labels)
    engines.free_buffers()


def measure(name: str, how: str, density: float) -> dict[str, float]:
    """Measures the peak of this process, in MB; `how` is a memory layout of dense weights, or "sparse"."""
    load_kernels()
    reset_peak()
    before = read_status("VmRSS")
    generator = torch.Generator().manual_seed(17)
    model = models.build(models.parse(name), generator=generator)
    batch = BATCHES.get(name, 128)
    images = torch.randn(batch, 3, 32, 32, generator=generator)
    labels = torch.randint(10, (batch,), generator=generator)
    sparsity, sizes = None, {}
    if how == "sparse":
        sparsity = rarefy.sparsify(model, density=density, seed=17)
        engines.use_engine(model, sparsity, "cpu")
    else:
        model.to(memory_format=LAYOUTS[how])
        images = images.contiguous(memory_format=LAYOUTS[how])
    reset_peak()
    train(model, sparsity, images, labels)
    if sparsity is not None:
        patterns = [layer.pattern for layer in model.modules() if hasattr(layer, "pattern")]
        sizes["pattern"] = sum(pattern.nbytes for pattern in patterns) / sum(pattern.nnz for pattern in patterns)
        sizes["masks"] = sum(mask.nbytes for mask in sparsity.masks.values()) / 1e6
    return {"peak": read_status("VmHWM") - before, **sizes}


def measure_apart(name: str, how: str, density: float, threads: int) -> dict[str, float]:
    """Measures in a process of its own."""
    arguments = ["--measure", name, how, str(density), "--threads", str(threads)]
    output = subprocess.run([sys.executable, __file__, *arguments], check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(output.splitlines()[-1])
    return found


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", type=lambda text: text.split(","), default=["vgg16", "mlp_1024_1024"])
    parser.add_argument("--densities", type=lambda text: [float(d) for d in text.split(",")], default=[0.05])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.measure:
        name, how, density = options.measure
        print(json.dumps(measure(name, how, float(density))))
        return
    print("network             density  dense MB  sparse MB  sparse/dense  pattern bytes/weight  masks MB")
    for name in options.nets:
        dense = min(measure_apart(name, layout, 1, options.threads)["peak"] for layout in LAYOUTS)
        for density in options.densities:
            sparse = measure_apart(name, "sparse", density, options.threads)
            print(
                f"{name:19s} {density:7g} {dense:9.1f} {sparse['peak']:10.1f} {sparse['peak'] / dense:13.2f} "
                f"{sparse['pattern']:21.2f} {sparse['masks']:9.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
