"""Times training steps and predictions with masks in groups, for the figure of docs/groups.md.

    python benchmarks/group_times.py --csv docs/groups/times.csv [--models cifar_resnet_20_8,...] [--densities 0.1,...]
                                     [--patterns unstructured,out8,...] [--threads 1] [--rounds 7]

For each network and density: a step of batch 128 and predictions of 1, 16 and 128 images, with every pattern (engine
cpu; compiled for predictions) and dense (the faster memory layout) in turn, so that the times of patterns can be
compared; medians over the rounds. Networks and densities whose patterns the file holds already are left out, so that
it can be run again to go on.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

import torch

import rarefy
from rarefy import engines, models
from rarefy.benchmarking._bench import DENSE, prepare_inference, prepare_training
from rarefy.paths import replace_file

MODELS = ("cifar_resnet_20_8", "cifar_resnet_20_16", "cifar_resnet_20_32", "vgg11", "mlp_512_512")
PATTERNS = ("unstructured", "out2", "out4", "out8", "out16", "in4", "in8", "kernel")
DENSITIES = (0.2, 0.1, 0.05, 0.02)
WORK = {"training": (128,), "inference": (1, 16, 128)}
REPEATS = {1: 30, 16: 6, 128: 1}  # times as many rounds: a prediction of one image takes a tenth of a millisecond
COLUMNS = ("model", "pattern", "density", "what", "batch", "milliseconds", "dense_milliseconds", "threads", "machine")


def time_patterns(model: str, density: float, options: argparse.Namespace) -> Iterator[tuple[object, ...]]:
    """Yields a row per pattern, kind of work and batch size."""
    pairs = {}
    for pattern in options.patterns:
        network = models.build(models.parse(model), generator=torch.Generator().manual_seed(17))
        pairs[pattern] = network, rarefy.sparsify(network, density=density, pattern=pattern, seed=17)
    for what, sizes in WORK.items():
        for batch in sizes:
            images = torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(0))
            prepare = prepare_training if what == "training" else prepare_inference
            dense = {name: prepare(*pairs[options.patterns[0]], name, images).act for name in DENSE}
            acts = dense | {pattern: prepare(*pair, "cpu", images).act for pattern, pair in pairs.items()}
            times = engines.time_interleaved(acts, rounds=options.rounds * REPEATS[batch])
            fastest = min(times.pop(name) for name in DENSE)
            for pattern, milliseconds in times.items():
                numbers = f"{milliseconds:.4f}", f"{fastest:.4f}", options.threads, engines.describe_machine()
                yield model, pattern, density, what, batch, *numbers


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
    for model in options.models:
        for density in map(float, options.densities):
            rows = _read(options.csv)
            have = {row[1] for row in rows if (row[0], float(row[2])) == (model, density)}
            if have >= set(options.patterns):
                continue
            new = [tuple(map(str, row)) for row in time_patterns(model, density, options)]
            others = [row for row in rows if (row[0], float(row[2])) != (model, density)]
            with replace_file(options.csv) as part, part.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerows([COLUMNS, *others, *new])
            for what, batch in ((what, size) for what, sizes in WORK.items() for size in sizes):
                shown = [row for row in new if row[3:5] == (what, str(batch))]
                texts = ", ".join(f"{row[1]} {row[5]}" for row in shown)
                print(f"{model} {density:g} {what} {batch}: {texts} ms (dense {shown[0][6]})", flush=True)


def _read(path: Path) -> list[tuple[str, ...]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [tuple(row) for row in list(csv.reader(file))[1:]]


if __name__ == "__main__":
    main()
