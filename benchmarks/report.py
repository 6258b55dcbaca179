"""Measures the CPU time of `rarefy report` on many records, and its page: python benchmarks/report.py [--records N].

The records are made up: networks of several depths, one dense group and 46 sparse ones each (five methods, nine
densities), three seeds, 160 epochs. Promises: 3,000 records take under 60 s, and the page is under 20 MB.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rarefy.analysis import report_runs

METHODS = ("erk", "uniform", "uniform_plus", "er", "erk_plus")
DENSITIES = tuple(step / 10 for step in range(1, 10))
SEEDS = (17, 18, 19)
EPOCHS = 160


def list_settings(count: int) -> Iterator[dict[str, Any]]:
    """Lists the settings of so many runs."""
    settings = (
        {
            "model": {"name": f"cifar_resnet_{depth}_{width}"},
            "allocation": {"name": method},
            "density": density,
            "seed": seed,
        }
        for width in (8, 16, 24, 32)
        for depth in (8, 14, 20, 32, 44, 56)
        for method, density in [("dense", 1.0), *((method, density) for method in METHODS for density in DENSITIES)]
        for seed in SEEDS
    )
    return (one for _, one in zip(range(count), settings, strict=False))


def make_record(number: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Makes the record of a run up."""
    draw, density = random.Random(number), settings["density"]
    depth = int(settings["model"]["name"].split("_")[2])
    accuracy = 0.92 - 0.01 / density / depth * 20 + draw.gauss(0, 0.002)
    layers = [
        {"name": f"layer{at}.conv.weight", "shape": [16, 16, 3, 3], "kept": round(2304 * density), "density": density}
        for at in range(depth)
    ]
    total = 2304 * depth
    epoch = {"train_loss": 0.5, "train_accuracy": 0.8, "lr": 0.1, "seconds": 30.0, "data_seconds": 0.3}
    return {
        "schema_version": 1, "id": f"{number:012x}", "created": "2026-11-29T12:00:00+00:00",
        "config": {"data": {"name": "cifar10"}, "topology": {"name": "static"}, **settings},
        "versions": {"rarefy": "0.1.0", "torch": "2.13.0", "python": "3.11.7"},
        "environment": {"device_name": "cpu", "threads": 1, "machine": "x86_64", "device": "cpu"},
        "layers": layers, "density": density, "masks": {}, "engine": {"engine": "masked"},
        "params": {"total": total, "kept": round(total * density), "all": total},
        "history": [{**epoch, "epoch": at + 1, "validation_accuracy": accuracy} for at in range(EPOCHS)],
        "selected_epoch": EPOCHS,
        "metrics": {"test": {"accuracy": accuracy, "loss": 1 - accuracy}},
        "timing": {
            "seconds_per_epoch": 30.0, "data_seconds": 0.3, "images_per_second": 1500.0 / density**0.5,
            "peak_memory_bytes": 1,
        },
        "files": {"model.safetensors": round(4 * total * density)},
    }  # fmt: skip


def measure(count: int, folder: Path) -> None:
    """Writes records and a report of them, and prints its time and size."""
    for number, settings in enumerate(list_settings(count)):
        run = folder / "runs" / f"{number:012x}"
        run.mkdir(parents=True)
        (run / "record.json").write_text(json.dumps(make_record(number, settings)), "utf-8")
    page, parts = folder / "report.html", dict[str, float]()
    started = time.process_time()

    def watch(what: str, share: float) -> None:
        parts.setdefault(what.partition(" ")[0], time.process_time() - started)

    written = report_runs([folder / "runs"], page, progress=watch)
    seconds = time.process_time() - started
    size = sum(path.stat().st_size for path in written[1:])
    print(f"{count:,} records: {seconds:.1f} s; page {page.stat().st_size / 1e6:.1f} MB; ", end="")
    print(
        f"{len(written) - 1:,} files of {size / 1e6:.1f} MB; begins: { ({k: round(v, 1) for k, v in parts.items()}) }"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=3000, help="how many records")
    with tempfile.TemporaryDirectory() as temporary:
        measure(parser.parse_args().records, Path(temporary))
