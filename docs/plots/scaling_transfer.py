"""Rebuilds the figures and tables of docs/scaling.md from the CSV files beside this script.

python docs/plots/scaling_transfer.py

Text outside the marked blocks of the page is written by hand and stays as it is. `scaling_records.py` adds runs to the
CSV files.
"""

from __future__ import annotations

import csv
import math
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from reproduction import fill

from rarefy.reports import RateCurve, build_rate_figure, draw_files
from rarefy.statistics import Summary, summarize

HERE = Path(__file__).parent
TITLES = {
    "digits_adam": "MLP, Adam, digits, 150 steps",
    "digits_sgd": "MLP, SGD, digits, 150 steps",
    "mlp_256_256": "MLP, SGD, CIFAR-10, two epochs",
    "cifar_resnet_8_16": "ResNet-8, Adam, CIFAR-10, one epoch",
    "gpt": "Small GPT, AdamW, 100 steps",
}
DENSE = ("dense", 1.0)

Curves = dict[tuple[str, float], RateCurve]


def read_rows(name: str) -> list[dict[str, str]]:
    """Reads the rows of a CSV file beside this script; none if there is no such file."""
    file = HERE / name
    return list(csv.DictReader(file.read_text(encoding="utf-8").splitlines())) if file.exists() else []


def read_curves(rows: Iterable[Mapping[str, str]]) -> dict[str, Curves]:
    """Reads the curves of each network by scaling and density; a training without a loss diverged."""
    losses: dict[str, dict[tuple[str, float], dict[float, list[float]]]] = defaultdict(dict)
    for row in rows:
        key = row["scaling"], float(row["density"])
        rates = losses[row["network"]].setdefault(key, defaultdict(list))
        rates[float(row["lr"])].append(float(row["loss"] or "inf"))
    return {network: name_curves(losses[network]) for network in TITLES if network in losses}


def name_curves(losses: Mapping[tuple[str, float], dict[float, list[float]]]) -> Curves:
    """Names and numbers curves: dense, then by falling density, supar before none."""
    order = sorted(losses, key=lambda key: (key != DENSE, -key[1], key[0] != "supar"))
    return {
        (scaling, density): RateCurve(
            scaling if (scaling, density) == DENSE else f"{scaling}, density {format_density(density)}",
            number - 1,
            losses[scaling, density],
        )
        for number, (scaling, density) in enumerate(order)
    }


def format_density(density: float) -> str:
    """Formats a density as a unit fraction where it is one."""
    inverse = 1 / density
    return "1" if density == 1 else f"1/{inverse:.0f}" if inverse.is_integer() and inverse < 200 else f"{density:g}"


def format_rate(rate: float) -> str:
    """Formats a rate as a power of two."""
    return f"2^{math.log2(rate):g}" if math.log2(rate).is_integer() else f"{rate:g}"


def format_summary(summary: Summary | None, digits: int = 3) -> str:
    """Formats a mean with its 95% interval."""
    if summary is None:
        return "not tried"
    ends = f" ({' to '.join(f'{end:.{digits}f}' for end in summary.interval)})" if summary.interval else ""
    return f"{summary.mean:.{digits}f}{ends}"


def format_differences(own: Mapping[str, float], reference: Mapping[str, float]) -> str:
    """Formats the mean difference over equal seeds with its 95% interval; empty for the reference itself."""
    differences = [own[seed] - reference[seed] for seed in own if seed in reference]
    return "" if own is reference or not differences else format_summary(summarize(differences), 1)


def make_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Makes a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def make_rate_table(curves: Curves) -> str:
    """Makes the table of best rates, beside the loss at the dense network's best rate."""
    dense = curves[DENSE].best
    rows = []
    for (scaling, density), curve in curves.items():
        best = curve.summaries[curve.best]
        edge = f", the {curve.edge}" if curve.edge else ""
        there = "" if scaling == "dense" else format_summary(curve.summaries.get(dense))
        rate = f"{format_rate(curve.best)}{edge}"
        rows.append((format_density(density), scaling, rate, format_summary(best), there, str(len(best.values))))
    heads = ("density", "scaling", "best rate", "loss there", "loss at the dense network's best rate", "seeds")
    return make_table(heads, rows)


def make_language_table(rows: Sequence[Mapping[str, str]]) -> str:
    """Makes the table of language models: one row per setting, bits per character over its seeds."""
    bits: dict[tuple[str, ...], list[float]] = defaultdict(list)
    kept: dict[tuple[str, ...], str] = {}
    for row in rows:
        key = tuple(row[name] for name in ("recipe", "density", "scaling", "topology", "lr"))
        bits[key].append(float(row["bits"]))
        kept[key] = f"{int(row['kept']):,}"
    lines = []
    for key, values in sorted(bits.items(), key=lambda item: (item[0][0] != "start", -float(item[0][1]))):
        recipe, density, scaling, topology, rate = key
        method = "circuits" if recipe != "start" else "dense" if float(density) == 1 else f"{scaling}, {topology}"
        summary, nats = summarize(values), summarize([value * math.log(2) for value in values])
        lines.append((format_density(float(density)), method, kept[key], format_rate(float(rate)),
                      format_summary(summary), format_summary(nats), str(len(values))))  # fmt: skip
    return make_table(
        ("density", "scaling, masks", "weights kept", "rate", "bits per character", "nats", "seeds"), lines
    )


def make_extreme_table(rows: Sequence[Mapping[str, str]]) -> str:
    """Makes the table of accuracies at the lowest densities, with the differences from `none`, seed by seed."""
    accuracies: dict[tuple[str, ...], dict[str, float]] = defaultdict(dict)
    for row in rows:
        key = row["optimizer"], row["density"], row["allocation"], row["scaling"]
        accuracies[key][row["seed"]] = 100 * float(row["accuracy"])
    lines = []
    for key in sorted(accuracies, key=lambda key: (key[0] != "sgd", -float(key[1]), key[2] != "erk", key[3] != "none")):
        optimizer, density, allocation, scaling = key
        own, plain = accuracies[key], accuracies.get((optimizer, density, "erk", "none"), {})
        lines.append((optimizer, density, allocation, scaling, format_summary(summarize(list(own.values())), 1),
                      format_differences(own, plain), str(len(own))))  # fmt: skip
    heads = ("optimizer", "density", "allocation", "scaling", "test accuracy, %", "difference from `none`", "seeds")
    return make_table(heads, lines)


def main(docs: Path = HERE.parent) -> None:
    """Writes one SVG for each network, and the page with its tables."""
    blocks = {}
    for network, curves in read_curves(read_rows("scaling_transfer.csv")).items():
        loss = "bits per character" if network == "gpt" else "held-out loss (nats)"
        figure = build_rate_figure(f"scaling_transfer_{network}", TITLES[network], list(curves.values()), loss)
        (docs / "plots" / f"{figure.name}.svg").write_bytes(draw_files(figure, ["svg"])["svg"])
        blocks[f"rates of {network}"] = f"{make_rate_table(curves)}\n\n![{figure.alt}](plots/{figure.name}.svg)"
    tables = {"language": make_language_table, "extreme": make_extreme_table}
    rows = {name: read_rows(f"scaling_{name}.csv") for name in tables}
    blocks |= {name: make(rows[name]) for name, make in tables.items() if rows[name]}
    page = docs / "scaling.md"
    page.write_text(fill(page.read_text(encoding="utf-8"), blocks), encoding="utf-8")


if __name__ == "__main__":
    main()
