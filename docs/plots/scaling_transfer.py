"""Draws validation loss against learning rate, a line for each scaling and density, from scaling_transfer.csv.

python docs/plots/scaling_transfer.py
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from pathlib import Path

from rarefy.reports.figures import Axis, Figure, Series, draw_files
from rarefy.statistics import summarize

HERE = Path(__file__).parent
TITLES = {
    "mlp_256_256": "MLP, SGD, CIFAR-10, two epochs",
    "digits_adam": "MLP, Adam, digits, 150 steps",
    "digits_sgd": "MLP, SGD, digits, 150 steps",
    "gpt": "Small GPT, AdamW, 100 steps",
}
MOST = {"digits_adam": 1.5, "digits_sgd": 1.5}  # nats; larger losses are left out: the figures are about the minima

Losses = dict[float, list[float]]  # learning rate -> a loss a seed


def read_losses(file: Path) -> dict[str, dict[tuple[str, float], Losses]]:
    """Reads losses by network, scaling and density; trainings that diverged have none."""
    found: dict[str, dict[tuple[str, float], Losses]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    with file.open(newline="", encoding="utf-8") as text:
        for row in csv.DictReader(text):
            if row["loss"]:
                key = row["scaling"], float(row["density"])
                found[row["network"]][key][float(row["lr"])].append(float(row["loss"]))
    return found


def build_series(label: str, style: int, losses: Losses, most: float) -> Series:
    """Builds a line of means over seeds, with their 95% intervals, without means above a limit."""
    found = {rate: summarize(losses[rate]) for rate in sorted(losses)}
    found = {rate: summary for rate, summary in found.items() if summary.mean <= most}
    ends = [summary.interval or (summary.mean, summary.mean) for summary in found.values()]
    low, high = zip(*ends, strict=True)
    means = tuple(summary.mean for summary in found.values())
    return Series(label, style, tuple(found), means, low=low, high=high)


def build_figure(network: str, lines: dict[tuple[str, float], Losses]) -> Figure:
    """Builds the figure of a network."""
    rates = sorted({rate for losses in lines.values() for rate in losses})
    most = MOST.get(network, math.inf)
    series = tuple(
        build_series(scaling if density == 1 else f"{scaling}, density 1/{round(1 / density)}", style, losses, most)
        for style, ((scaling, density), losses) in enumerate(lines.items())
    )
    ticks = tuple(rates[:: max(1, len(rates) // 6)])
    x = Axis("learning rate", "lr", log=True, ticks=ticks, texts=tuple(f"{tick:.2g}" for tick in ticks))
    return Figure(
        f"scaling_transfer_{network}",
        TITLES[network],
        x,
        Axis("bits a character" if network == "gpt" else "held-out loss (nats)", "loss"),
        series,
    )


def main(folder: Path = HERE) -> None:
    """Writes one SVG for each network."""
    for network, lines in read_losses(HERE / "scaling_transfer.csv").items():
        figure = build_figure(network, lines)
        (folder / f"{figure.name}.svg").write_bytes(draw_files(figure, ["svg"])["svg"])


if __name__ == "__main__":
    main()
