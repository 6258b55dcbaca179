"""What a sparse network gains on this machine: accuracy, bytes and times beside a dense one, in one table.

    python examples/gains.py [FOLDER]

A dense and a 5% random perceptron learn handwritten digits for 20 epochs, with the engine `auto`. Their records go to
FOLDER/runs (default: demo). Then training steps and predictions of both are timed in turn; dense is PyTorch itself.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import rarefy
from rarefy.benchmarking import bench
from rarefy.records import Record

MODEL, DENSITY, BATCH = "mlp_1024_1024", 0.05, 128
Row = tuple[str, float, float]  # what, dense, sparse; less is better but for accuracy


def train(allocation: str, out: Path) -> Record:
    """Trains a network on the digits, or reads the record of one that is trained already."""
    settings = {"epochs": 20, "batch_size": BATCH, "lr": 0.05}
    density = 1.0 if allocation == "dense" else DENSITY
    values = {"data": "digits", "model": MODEL, "allocation": allocation, "density": density, "training": settings}
    return rarefy.run(rarefy.Config.from_values(values | {"topology": "static"}), out=out)


def measure(dense: Record, sparse: Record, out: Path) -> Iterator[Row]:
    """Yields what the records say, and what this machine needs for a step and for predictions."""
    yield "test accuracy, %", *(100 * record.metrics["test"]["accuracy"] for record in (dense, sparse))
    yield "weights", dense.params.kept, sparse.params.kept
    yield "file, kB", *(record.files["model.safetensors"] / 1e3 for record in (dense, sparse))
    network = rarefy.load_run(out / sparse.id)
    timings = bench(network.model, network.sparsity, network.shape, batches=(1, BATCH), contenders=("cpu",)).timings
    times = {(timing.what, timing.batch, timing.engine): timing.milliseconds for timing in timings}
    for name, what, batch in (
        ("step", "training", BATCH),
        ("prediction", "inference", BATCH),
        ("prediction", "inference", 1),
    ):
        yield f"{name} of {batch}, ms", times[what, batch, "dense"], times[what, batch, "cpu"]


def _format(value: float) -> str:
    return f"{value:12,.0f}" if value >= 100 else f"{value:12.3g}"


def main(folder: Path) -> None:
    """Trains both, times both and prints the table."""
    out = folder / "runs"
    dense, sparse = train("dense", out), train("erk", out)
    print(f"\n{MODEL} on digits, dense and with {DENSITY:.0%} of its weights (ERK)\n")
    print(f"{'':24}{'dense':>12}{'sparse':>12}{'gain':>14}")
    for name, before, after in measure(dense, sparse, out):
        if name.startswith("test"):
            print(f"{name:24}{before:12.2f}{after:12.2f}{after - before:+7.2f} points")
        else:
            print(f"{name:24}{_format(before)}{_format(after)}{before / after:8.1f} times")
    print(f"\nRecords, figures and networks: {out}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))
