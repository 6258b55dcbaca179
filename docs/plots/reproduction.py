"""Rebuilds the tables and figures of docs/reproduction.md from the records in experiments/results.

    make reproduction-page          (python docs/plots/reproduction.py [--results DIR] [--docs DIR])

Text outside the marked blocks of the page is written by hand and stays as it is.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from rarefy import records
from rarefy.analysis import CompareError, compare_runs, read_runs, report_runs
from rarefy.records._fields import Field
from rarefy.reports import Axis, Figure, PublishedResult, Series, assign_styles, draw_files, format_csv, read_published
from rarefy.reports.pages._format import format_plural
from rarefy.statistics import summarize

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "experiments" / "published.csv"
MARGIN = 0.5  # points
LEVEL = 0.05  # of each one-sided test
EVALUATED = (
    "loss", "calibration.before.ece", "calibration.after.ece", "ood.cifar100.scores.max_softmax.auroc",
    "ood.svhn_train_1083.scores.max_softmax.auroc", "attacks.fgsm.robust", "corruptions.mean_error",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs that differ in the seed only.

    Args:
        model: Name of the network.
        allocation: Name of the allocation.
        density: The density that was asked for.
        runs: Their records, by seed.
        published: The paper's number, if it has one.
    """

    model: str
    allocation: str
    density: float
    runs: tuple[records.Record, ...]
    published: PublishedResult | None

    @property
    def name(self) -> str:
        """What the group is called on the page."""
        return "dense" if self.allocation == "dense" else f"{self.allocation} {self.density:g}"

    @property
    def last(self) -> list[float]:
        """Test accuracy of the last epoch of each run, in percent."""
        return [100 * run.metrics["test"]["accuracy"] for run in self.runs]

    @property
    def best(self) -> list[float]:
        """Test accuracy of the best validation epoch of the runs that recorded it, in percent."""
        return [100 * run.best_epoch.test["accuracy"] for run in self.runs if run.best_epoch]

    @property
    def core_hours(self) -> float:
        """Hours of all training steps times threads."""
        return sum(hours(run) * run.environment["threads"] for run in self.runs)


def name_groups(groups: Sequence[Group]) -> list[str]:
    """Names groups for a table or a figure: with their network only if there are several."""
    several = len({group.model for group in groups}) > 1
    return [f"{group.model} {group.name}" if several else group.name for group in groups]


def hours(run: records.Record) -> float:
    """Returns the wall time of all training steps of a run, in hours."""
    return sum(row.seconds for row in run.history) / 3600


def read_groups(results: Path) -> list[Group]:
    """Reads the records in a folder and groups them by network, allocation and density; dense groups come first."""
    members: dict[tuple[str, str, float], list[records.Record]] = {}
    for record in records.find(results):
        config = record.config
        members.setdefault((config["model"]["name"], config["allocation"]["name"], config["density"]), []).append(
            record
        )
    rows = {(row.model, row.allocation, row.density): row for row in read_published(PUBLISHED) if row.data == "cifar10"}
    order = sorted(members, key=lambda key: (key[0], key[1] != "dense", -key[2], key[1]))
    return [
        Group(*key, tuple(sorted(members[key], key=lambda run: run.config["seed"])), rows.get(key)) for key in order
    ]


def judge(values: Sequence[float], published: float) -> str:
    """Says whether the mean equals a published number within the margin: two one-sided t tests at 5%."""
    if len(values) < 2:
        return "cannot tell: one seed"
    interval = summarize(values, 1 - 2 * LEVEL).interval
    assert interval is not None
    low, high = (end - published for end in interval)
    verdict = "yes" if low > -MARGIN and high < MARGIN else "no" if low > MARGIN or high < -MARGIN else "cannot tell"
    return f"{verdict} ({low:+.2f} to {high:+.2f})"


def spread(values: Sequence[float]) -> str:
    """The mean and half of its 95% t interval, in percent."""
    if not values:
        return "-"
    summary = summarize(values)
    half = "" if summary.interval is None else f" ± {(summary.interval[1] - summary.interval[0]) / 2:.2f}"
    return f"{summary.mean:.2f}{half}"


def table(groups: Sequence[Group]) -> str:
    """The page's first table, as Markdown."""
    lines = [
        f"| weights | paper | last epoch | best validation epoch | seeds | difference | same within {MARGIN:g} points? "
        "| core-hours |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, group in zip(name_groups(groups), groups, strict=True):
        paper, difference, verdict = "-", "-", "-"
        if group.published:
            number = 100 * group.published.value
            std = f" ± {100 * group.published.std:.2f}" if group.published.std else ""
            paper, difference = f"{number:.2f}{std}", f"{statistics.fmean(group.last) - number:+.2f}"
            verdict = judge(group.last, number)
        seeds = ", ".join(str(run.config["seed"]) for run in group.runs)
        cells = (name, paper, spread(group.last), spread(group.best), seeds, difference, verdict)
        lines.append(f"| {' | '.join(cells)} | {group.core_hours:.1f} |")
    return "\n".join(lines)


def comparisons(results: Path) -> str:
    """What `rarefy compare` says: each group against the dense one, and ERK against uniform."""
    lines = [
        "| group | against | difference in points | 95% interval | same within 0.5 points? |",
        "| --- | --- | --- | --- | --- |",
    ]
    runs = read_runs([results])
    for baseline in ("dense", "uniform 0.1"):
        try:
            found = compare_runs(runs, baseline, metrics=["accuracy"], points=MARGIN)
        except (CompareError, ValueError):
            continue  # no such group yet
        for row in found.tables[0].rows:
            if row.difference is not None and row.group != "dense":  # the dense group is a baseline of its own
                ends = " to ".join(f"{100 * end:+.2f}" for end in row.welch) if row.welch else "-"
                lines.append(f"| {row.group} | {row.baseline} | {100 * row.difference:+.2f} | {ends} | {row.verdict} |")
    return "\n".join(lines) if len(lines) > 2 else "No two groups are finished yet."


def evaluations(groups: Sequence[Group]) -> str:
    """What `rarefy eval` measured: one line per metric, one column per group, in it a number per seed."""
    columns = {group.name: [run for run in group.runs if "calibration" in run.metrics["test"]] for group in groups}
    columns = {name: runs for name, runs in columns.items() if runs}
    if not columns:
        return "No run has been evaluated yet."
    heads = [f"{name} ({format_plural(len(runs), 'seed')})" for name, runs in columns.items()]
    lines = [f"| metric | {' | '.join(heads)} |", "| --- |" + " --- |" * len(heads)]
    infos = records.describe_metrics({})
    for metric in EVALUATED:
        info = records.describe_metric(metric, infos)
        scale = 100 if info.unit == "fraction" else 1
        field = Field(metric, metric)
        values = [[field.read(run.metrics["test"]) for run in runs] for runs in columns.values()]
        cells = [", ".join("-" if value is None else f"{scale * value:.2f}" for value in row) for row in values]
        lines.append(f"| {info.title}{', %' if scale == 100 else ''} | {' | '.join(cells)} |")
    return "\n".join(lines)


def runs_table(groups: Sequence[Group]) -> str:
    """One line per run: what it scored, with which versions, and how long it took."""
    lines = [
        "| run | network | weights | seed | last | best validation epoch | hours | torch, numba | finished |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for group in groups:
        for run in group.runs:
            best = (
                f"{100 * run.best_epoch.test['accuracy']:.2f} (epoch {run.best_epoch.epoch})" if run.best_epoch else "-"
            )
            cells = (
                f"`{run.id}`", group.model, group.name, str(run.config["seed"]),
                f"{100 * run.metrics['test']['accuracy']:.2f}", best, f"{hours(run):.1f}",
                f"{run.versions['torch']}, {run.versions.get('numba', '-')}", run.created[:10],
            )  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def learning_curves(groups: Sequence[Group]) -> Figure:
    """Validation accuracy by epoch, one line per group, the mean over its seeds."""
    series = []
    names = name_groups(groups)
    styles = assign_styles({name: group.allocation for name, group in zip(names, groups, strict=True)})
    for name, group in zip(names, groups, strict=True):
        rows = list(zip(*(run.history for run in group.runs), strict=True))
        values = [
            [row.validation_accuracy for row in several if row.validation_accuracy is not None] for several in rows
        ]
        low, high = (tuple(map(pick, values)) if len(group.runs) > 1 else () for pick in (min, max))
        epochs, means = tuple(float(several[0].epoch) for several in rows), tuple(map(statistics.fmean, values))
        series.append(Series(name, styles[name], epochs, means, low, high, kind="curve"))
    caption = "Mean over seeds; the band reaches from the lowest to the highest seed."
    y = Axis("validation accuracy, %", "validation_accuracy", 100.0, span=(0.5, 0.96))
    return Figure("learning-curves", "Learning curves", Axis("epoch", "epoch"), y, tuple(series), caption)


def accuracy_figure(results: Path) -> Iterator[tuple[str, bytes]]:
    """The report's own figure of accuracy against density, with the published points over it."""
    with tempfile.TemporaryDirectory() as folder:
        written = report_runs([results], Path(folder) / "report.html", published=PUBLISHED, margin=MARGIN)
        for path in written:
            if path.name.startswith("accuracy-ResNet-20") and path.suffix in (".svg", ".csv"):
                yield f"accuracy{path.suffix}", path.read_bytes()


def fill(text: str, blocks: dict[str, str]) -> str:
    """Replaces what stands between ``<!-- NAME -->`` and ``<!-- end of NAME -->``."""
    for name, content in blocks.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        text, count = pattern.subn(lambda match, content=content: f"{match[1]}\n{content}\n\n{match[2]}", text)
        if count != 1:
            raise SystemExit(f"The page has {count} blocks {name!r}; it needs exactly one.")
    return text


def build(results: Path, docs: Path) -> None:
    """Rewrites the page's blocks and its figures."""
    groups = read_groups(results)
    page, folder = docs / "reproduction.md", docs / "reproduction"
    blocks = {"table": table(groups), "comparisons": comparisons(results), "evaluations": evaluations(groups)}
    blocks["runs"] = runs_table(groups)
    page.write_text(fill(page.read_text(encoding="utf-8"), blocks), encoding="utf-8")
    folder.mkdir(exist_ok=True)
    curves = learning_curves(groups)
    (folder / "curves.svg").write_bytes(draw_files(curves)["svg"])
    (folder / "curves.csv").write_text(format_csv(curves.columns, curves.rows()), encoding="utf-8")
    for name, content in accuracy_figure(results):
        (folder / name).write_bytes(content)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--results", type=Path, default=ROOT / "experiments" / "results", help="folder of finished runs"
    )
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="folder of the page")
    options = parser.parse_args()
    build(options.results, options.docs)
    print(options.docs / "reproduction.md")
