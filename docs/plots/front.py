"""Rebuilds the picture and the table at the top of README and of the documentation.

    make reproduction-page                       (python docs/plots/front.py)
    python docs/plots/front.py --measure         times this machine first, which should be idle: docs/front/times.csv

Accuracies and bytes are those of the records in experiments/results and of the paper (experiments/published.csv).
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

sys.path.insert(0, str(Path(__file__).parent))
from reproduction import PUBLISHED, ROOT, Group, fill, read_groups

import rarefy
from rarefy.benchmarking import bench
from rarefy.pipeline import build_network
from rarefy.reports import read_published
from rarefy.reports.pages._format import format_plural

MODEL, NAME = "cifar_resnet_20_16", "ResNet-20"
COLORS = {"dense": "0.45", "erk": "#0072b2", "uniform": "#d55e00"}
LABELS = {"dense": "dense", "erk": "ERK", "uniform": "uniform"}
TIMES = ("density", "allocation", "step_128", "prediction_128", "prediction_1", "machine", "threads", "torch")
STYLE = {
    "svg.hashsalt": "rarefy",
    "svg.fonttype": "path",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def draw(groups: Sequence[Group]) -> Any:
    """Draws accuracy against density: the paper's numbers hollow, those of the records filled."""
    from matplotlib.figure import Figure

    rows = [row for row in read_published(PUBLISHED) if (row.model, row.data) == (MODEL, "cifar10")]
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    axes = figure.add_subplot()
    dense = next(row for row in rows if row.allocation == "dense")
    axes.axhline(100 * dense.value, color=COLORS["dense"], linestyle="--", linewidth=1)
    axes.annotate(
        "dense, paper",
        (0.105, 100 * dense.value),
        (0, 4),
        textcoords="offset points",
        color=COLORS["dense"],
        ha="right",
    )
    for name in ("erk", "uniform"):
        points = sorted((row.density, 100 * row.value) for row in rows if row.allocation == name)
        label = f"{LABELS[name]}, paper"
        axes.plot(
            *zip(*points, strict=True), "o-", color=COLORS[name], markerfacecolor="white", linewidth=1, label=label
        )
    for group in (group for group in groups if group.model == MODEL and group.allocation in COLORS):
        x = [group.density] * len(group.last)
        label = f"{LABELS[group.allocation]}, rarefy, each seed"
        style = {"color": COLORS[group.allocation], "alpha": 0.8, "zorder": 3, "s": 45}
        axes.scatter(x, group.last, marker="D", label=label if group.density in (0.1, 1.0) else None, **style)
    axes.set(xscale="log", xlabel="weights that are kept", ylabel="test accuracy, %", xlim=(1.1, 0.09))
    axes.set_xticks([1.0, 0.8, 0.5, 0.3, 0.2, 0.1], ["100%", "80%", "50%", "30%", "20%", "10%"])
    axes.minorticks_off()
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, loc="lower left")
    return figure


def make_table(groups: Sequence[Group], times: Sequence[dict[str, str]]) -> str:
    """Formats the table: a row for the dense network, and one for each group of sparse runs at density 0.1."""
    rows = {
        (row.allocation, row.density): row
        for row in read_published(PUBLISHED)
        if (row.model, row.data) == (MODEL, "cifar10")
    }
    mine = {(group.allocation, group.density): group for group in groups if group.model == MODEL}
    by_kind = {(row["allocation"], float(row["density"])): row for row in times}
    columns = [f"{NAME} on CIFAR-10", "weights", "test accuracy", "in the paper", "file"]
    columns += ["training step", "one prediction"] if times else []
    lines = [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
    for key in [("dense", 1.0), *sorted(key for key in mine if key[0] != "dense" and key[1] == 0.1)]:
        group, paper = mine.get(key), rows.get(key)
        cells = [
            "dense" if key[0] == "dense" else f"{key[1]:.0%}, {LABELS[key[0]]}",
            f"{group.runs[0].params.kept if group else _count_weights():,}",
            f"{statistics.fmean(group.last):.2f}% ({format_plural(len(group.last), 'seed')})"
            if group
            else "not trained yet",
            f"{100 * paper.value:.2f}%" if paper else "-",
            f"{(group.runs[0].files['model.safetensors'] if group else 4 * _count_weights()) / 1000:,.0f} kB",
        ]
        if times:
            cells += [
                f"{float(by_kind[key][name]):.3g} ms" if key in by_kind else "-"
                for name in ("step_128", "prediction_1")
            ]
        lines.append(f"| {' | '.join(cells)} |")
    if times:
        row = times[0]
        words = "Step of 128 images and prediction of one, dense PyTorch in its faster memory layout"
        lines += ["", f"{words}: {row['machine']}, {row['threads']} threads, torch {row['torch']}."]
    return "\n".join(lines)


def _count_weights() -> int:
    return build_network(_configure("erk", 0.1), in_channels=3, classes=10, size=(32, 32)).sparsity.total


def _configure(allocation: str, density: float) -> Any:
    values = {"data": "cifar10", "model": MODEL, "allocation": allocation, "density": density, "topology": "static"}
    return rarefy.Config.from_values(values)


def measure(rounds: int) -> list[dict[str, Any]]:
    """Times training steps and predictions of the sparse network and of the faster dense layout, in turn."""
    import torch

    rows: list[dict[str, Any]] = []
    for allocation in ("erk", "uniform"):
        network = build_network(_configure(allocation, 0.1), in_channels=3, classes=10, size=(32, 32))
        result = bench(
            network.model, network.sparsity, network.shape, batches=(1, 128), contenders=("cpu",), rounds=rounds
        )
        found = {(timing.what, timing.batch, timing.engine): timing.milliseconds for timing in result.timings}
        tasks = {"step_128": ("training", 128), "prediction_128": ("inference", 128), "prediction_1": ("inference", 1)}
        for kind, density, engine in (("dense", 1.0, "dense"), (allocation, 0.1, "cpu")):
            values = {name: round(found[(*task, engine)], 4) for name, task in tasks.items()}
            machine = {"machine": result.machine, "threads": result.threads, "torch": torch.__version__}
            rows.append({"density": density, "allocation": kind, **values, **machine})
    return [row for row in rows if row["allocation"] != "dense"] + rows[:1]


def main() -> None:
    """Rewrites the picture and the pages' tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=ROOT, help="folder of README.md and docs")
    parser.add_argument("--measure", action="store_true", help="time this machine first")
    parser.add_argument("--rounds", type=int, default=9, help="rounds of each comparison")
    options = parser.parse_args()
    folder = options.root / "docs" / "front"
    folder.mkdir(parents=True, exist_ok=True)
    times = folder / "times.csv"
    if options.measure:
        with times.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, TIMES, lineterminator="\n")
            writer.writeheader()
            writer.writerows(measure(options.rounds))
    rows = list(csv.DictReader(times.read_text(encoding="utf-8").splitlines())) if times.is_file() else []
    groups = read_groups(ROOT / "experiments" / "results")
    with matplotlib.rc_context(STYLE):
        draw(groups).savefig(folder / "accuracy.svg", metadata={"Date": None})
    page = options.root / "README.md"
    page.write_text(fill(page.read_text(encoding="utf-8"), {"results": make_table(groups, rows)}), encoding="utf-8")


if __name__ == "__main__":
    main()
