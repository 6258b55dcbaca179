"""Times training steps and predictions with masks in groups, for the figure of docs/groups.md.

    python benchmarks/group_times.py --csv docs/groups/times.csv [--models cifar_resnet_20_8,...] [--densities 0.1,...]
                                     [--patterns unstructured,out8,...] [--threads 1] [--rounds 7]

Each case is `rarefy.benchmarking.bench`: a step of batch 128 and predictions of 1, 16 and 128 images, sparse (engine
cpu; compiled for predictions) and dense (the faster memory layout) in turn. Cases that the file holds already are left
out, so that it can be run again to go on.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

import torch

import rarefy
from rarefy import models
from rarefy.benchmarking import bench

MODELS = ("cifar_resnet_20_8", "cifar_resnet_20_16", "cifar_resnet_20_32", "vgg11", "mlp_512_512")
PATTERNS = ("unstructured", "out2", "out4", "out8", "out16", "in4", "in8", "kernel")
DENSITIES = (0.2, 0.1, 0.05, 0.02)
WORK = {"training": (128,), "inference": (1, 16, 128)}
COLUMNS = ("model", "pattern", "density", "what", "batch", "milliseconds", "dense_milliseconds", "threads", "machine")


def time_case(model: str, pattern: str, density: float, options: argparse.Namespace) -> Iterator[tuple[object, ...]]:
    """Yields one row per kind of work and batch size."""
    generator = torch.Generator().manual_seed(17)
    network = models.build(models.parse(model), generator=generator)
    sparsity = rarefy.sparsify(network, density=density, pattern=pattern, seed=17)
    batches = sorted({batch for sizes in WORK.values() for batch in sizes})
    result = bench(network, sparsity, (3, 32, 32), batches=batches, contenders=("cpu",), rounds=options.rounds)
    times = {(timing.engine, timing.what, timing.batch): timing.milliseconds for timing in result.timings}
    for what, sizes in WORK.items():
        for batch in sizes:
            sparse, dense = (f"{times[engine, what, batch]:.4f}" for engine in ("cpu", "dense"))
            yield model, pattern, density, what, batch, sparse, dense, options.threads, result.machine


def main() -> None:
    """Measures what the file lacks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, values in (("models", MODELS), ("patterns", PATTERNS), ("densities", DENSITIES)):
        parser.add_argument(f"--{name}", type=lambda text: text.split(","), default=list(values))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--csv", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    done = set()
    if options.csv.is_file():
        with options.csv.open(newline="", encoding="utf-8") as file:
            done = {(row["model"], row["pattern"], float(row["density"])) for row in csv.DictReader(file)}
    cases = [(m, p, float(d)) for m in options.models for p in options.patterns for d in options.densities]
    for model, pattern, density in (case for case in cases if case not in done):
        rows = list(time_case(model, pattern, density, options))
        is_new = not options.csv.is_file()
        with options.csv.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(([COLUMNS] if is_new else []) + rows)
        texts = [f"{what} {batch}: {sparse} ms (dense {dense})" for _, _, _, what, batch, sparse, dense, *_ in rows]
        print(f"{model} {pattern} {density:g}: {', '.join(texts)}", flush=True)


if __name__ == "__main__":
    main()
