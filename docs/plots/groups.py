"""Rebuilds the tables and the figure of docs/groups.md.

    python docs/plots/groups.py [--results DIR...] [--docs DIR]

Accuracies come from the records in the folders (``rarefy sweep groups --out DIR``; experiments/results and
experiments/group_results have those of 160 epochs). First they are copied into docs/groups/runs.csv, a row per run with
allocation ERK or dense; without --results that file is read as it is. Times come from docs/groups/times.csv, written by
``benchmarks/group_times.py --csv docs/groups/times.csv``; without that file the page has no times. Text outside the
marked blocks of the page is written by hand and stays as it is.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from reproduction import MARGIN, ROOT, fill, judge

from rarefy import records
from rarefy.reports import Axis, Figure, Series, draw_files, format_csv
from rarefy.statistics import Comparison, compare_groups, summarize

COLUMNS = ("run", "model", "pattern", "density", "seed", "epochs", "accuracy")
KINDS = ("unstructured", "out2", "out4", "out8", "out16", "in4", "in8", "kernel")
TIMED = (("training", 128), ("inference", 1), ("inference", 16), ("inference", 128))

Kind = tuple[str, float]  # pattern and density; ("dense", 1.0)
Times = Mapping[tuple[str, Kind, str, int], float]  # by model, kind, work and batch size, in milliseconds


@dataclasses.dataclass(frozen=True)
class Runs:
    """Runs of one network and number of epochs: test accuracy in percent by kind and seed."""

    model: str
    epochs: int
    accuracies: Mapping[Kind, Mapping[int, float]]

    def compare(self, kind: Kind) -> Comparison | None:
        """Compares a kind with unstructured masks of the same density; None if one of them is missing."""
        groups = {name: list(self.accuracies.get((name, kind[1]), {}).values()) for name in {"unstructured", kind[0]}}
        if kind[0] in ("dense", "unstructured") or not all(groups.values()):
            return None
        return compare_groups(groups, "unstructured", "accuracy", MARGIN, confidence=0.9)[0]


def copy_records(results: Sequence[Path], target: Path) -> None:
    """Writes one row per finished run with allocation ERK or dense."""
    rows = []
    for record in (record for folder in results for record in records.find(folder)):
        config = record.config
        dense = config["allocation"]["name"] == "dense"
        if not dense and config["allocation"]["name"] != "erk":
            continue
        pattern = "dense" if dense else config.get("pattern", "unstructured")
        density = 1.0 if dense else config["density"]
        accuracy = f"{100 * record.metrics['test']['accuracy']:.2f}"
        sizes = (config["seed"], config["training"]["epochs"])
        rows.append((config["model"]["name"], pattern, density, *sizes, accuracy, record.id))
    target.parent.mkdir(exist_ok=True)
    with target.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *((row[-1], *row[:-1]) for row in sorted(rows))])


def read_runs(path: Path) -> list[Runs]:
    """Reads the runs, grouped by network and epochs, networks with the most runs first."""
    groups: dict[tuple[str, int], dict[Kind, dict[int, float]]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            kinds = groups.setdefault((row["model"], int(row["epochs"])), {})
            kinds.setdefault((row["pattern"], float(row["density"])), {})[int(row["seed"])] = float(row["accuracy"])
    ordered = sorted(groups, key=lambda key: (-sum(map(len, groups[key].values())), key))
    return [Runs(*key, groups[key]) for key in ordered]


def read_times(path: Path) -> Times:
    """Reads times: each case's ratio to dense, measured in one process, times the median of all dense times."""
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    dense: dict[tuple[str, str, int], list[float]] = {}
    for row in rows:
        dense.setdefault((row["model"], row["what"], int(row["batch"])), []).append(float(row["dense_milliseconds"]))
    times = {(model, ("dense", 1.0), *work): statistics.median(values) for (model, *work), values in dense.items()}
    for row in rows:
        work = (row["what"], int(row["batch"]))
        ratio = float(row["milliseconds"]) / float(row["dense_milliseconds"])
        kind = (row["pattern"], float(row["density"]))
        times[row["model"], kind, *work] = ratio * times[row["model"], ("dense", 1.0), *work]
    return times


def order_kinds(runs: Runs) -> list[Kind]:
    """Orders the kinds: dense, then by density and pattern."""
    return sorted(runs.accuracies, key=lambda kind: (-kind[1], KINDS.index(kind[0]) if kind[0] in KINDS else -1))


def format_table(runs: Runs, times: Times) -> Iterator[str]:
    """Yields the lines of a network's table."""
    yield f"### {runs.model}, {runs.epochs} epochs\n"
    yield (
        "| density | mask | accuracy, % | seeds | against unstructured, points | same within 0.5? | step, ms | "
        "prediction of 1, ms | of 16 | of 128 |"
    )
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for kind in order_kinds(runs):
        values = list(runs.accuracies[kind].values())
        comparison = runs.compare(kind)
        cells = [f"{kind[1]:g}", kind[0], format_mean(values), str(len(values)), *format_comparison(comparison)]
        milliseconds = [times.get((runs.model, kind, *work)) for work in TIMED]
        yield f"| {' | '.join([*cells, *('-' if ms is None else f'{ms:.3g}' for ms in milliseconds)])} |"
    yield ""


def format_mean(values: Sequence[float]) -> str:
    """Formats a mean and half of its 95% t interval."""
    summary = summarize(values)
    half = "" if summary.interval is None else f" ± {(summary.interval[1] - summary.interval[0]) / 2:.2f}"
    return f"{summary.mean:.2f}{half}"


def format_comparison(comparison: Comparison | None) -> tuple[str, str]:
    """Formats the difference with its 90% interval, and the verdict."""
    if comparison is None:
        return "", ""
    ends = comparison.welch
    interval = "" if ends is None else f" ({ends[0]:+.2f} to {ends[1]:+.2f})"
    return f"{comparison.difference:+.2f}{interval}", comparison.verdict


def pool_table(groups: Sequence[Runs]) -> Iterator[str]:
    """Yields a table over all densities of a network: differences of equal seeds and densities, averaged."""
    yield (
        "| network, epochs | mask | pairs of runs | mean difference, points | 95% interval | same within 0.5? | "
        "worst density |"
    )
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for runs in groups:
        for pattern in KINDS[1:]:
            by_density = {
                density: [
                    value - runs.accuracies["unstructured", density][seed]
                    for seed, value in seeds.items()
                    if seed in runs.accuracies.get(("unstructured", density), {})
                ]
                for (name, density), seeds in runs.accuracies.items()
                if name == pattern
            }
            by_density = {density: values for density, values in by_density.items() if values}
            pairs = [value for values in by_density.values() for value in values]
            if len(pairs) > 1:
                low, high = summarize(pairs).interval or (0.0, 0.0)
                worst = min(by_density, key=lambda density: statistics.fmean(by_density[density]))
                lowest = f"{worst:g} ({statistics.fmean(by_density[worst]):+.2f})"
                yield (
                    f"| {runs.model}, {runs.epochs} | {pattern} | {len(pairs)} | {statistics.fmean(pairs):+.2f} | "
                    f"{low:+.2f} to {high:+.2f} | {judge(pairs, 0.0)} | {lowest} |"
                )


def make_figure(runs: Runs, times: Times) -> Figure:
    """Makes a figure of accuracy against the time of a training step; without times, against density."""
    timed = any(model == runs.model and what == "training" for model, _, what, _ in times)
    series = []
    for number, pattern in enumerate(("dense", *KINDS)):
        points = []
        for kind in order_kinds(runs):
            x = times.get((runs.model, kind, *TIMED[0])) if timed else kind[1]
            if kind[0] == pattern and x is not None:
                points.append((x, summarize(list(runs.accuracies[kind].values())), kind))
        if points:
            ends = [(min(summary.values), max(summary.values)) for _, summary, _ in points]
            style = -1 if pattern == "dense" else number - 1
            tips = tuple(f"{pattern} {kind[1]:g}" for _, _, kind in points)
            xs, means = tuple(x for x, _, _ in points), tuple(summary.mean for _, summary, _ in points)
            low, high = zip(*ends, strict=True)
            shape = "dots" if len(xs) == 1 else "line"
            series.append(Series(pattern, style, xs, means, low, high, tips, shape, has_bars=True))
    reached = [position for one in series for position in one.x]
    span = (min(reached) / 1.25, max(reached) * 1.25)
    name, label = ("step_ms", "training step, ms") if timed else ("density", "density")
    ticks = tuple(
        m * 10.0**k for k in range(-3, 5) for m in (1, 1.5, 2, 3, 4, 5, 7) if span[0] <= m * 10.0**k <= span[1]
    )
    x = Axis(label, name, log=True, span=span, ticks=ticks, texts=tuple(f"{tick:g}" for tick in ticks))
    title = f"{runs.model}, {runs.epochs} epochs"
    caption = "A point per kind of mask and density. Bars reach from the lowest to the highest seed."
    return Figure(runs.model, title, x, Axis("test accuracy, %", "accuracy"), tuple(series), caption)


def build_page(docs: Path) -> list[Figure]:
    """Rewrites the page's blocks and the figures' numbers from the two CSV files; returns the figures."""
    folder, page = docs / "groups", docs / "groups.md"
    groups, times = read_runs(folder / "runs.csv"), read_times(folder / "times.csv")
    tables = "\n".join(line for runs in groups for line in format_table(runs, times)).strip()
    figures = [make_figure(runs, times) for runs in select_shown(groups)]
    links = "\n\n".join(f"![{f.title}](groups/{f.name}.svg)\n\n[Numbers as CSV](groups/{f.name}.csv)" for f in figures)
    blocks = {"pooled": "\n".join(pool_table(groups)), "figures": links, "tables": tables}
    page.write_text(fill(page.read_text(encoding="utf-8"), blocks), encoding="utf-8")
    for figure in figures:
        (folder / f"{figure.name}.csv").write_text(format_csv(figure.columns, figure.rows()), encoding="utf-8")
    return figures


def select_shown(groups: Sequence[Runs]) -> list[Runs]:
    """Selects the groups of runs that get a figure: of every network those with the most runs."""
    return list({runs.model: runs for runs in reversed(groups)}.values())[::-1]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--results", type=Path, nargs="+", help="folders of finished runs; default: docs/groups/runs.csv as it is"
    )
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="folder of the page")
    options = parser.parse_args()
    if options.results:
        copy_records(options.results, options.docs / "groups" / "runs.csv")
    for drawing in build_page(options.docs):
        for name, content in draw_files(drawing, ("svg", "png")).items():
            (options.docs / "groups" / f"{drawing.name}.{name}").write_bytes(content)
    print(options.docs / "groups.md")
