"""Progress of an evaluation, and its results as a table: one row per number and one column per run."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from rarefy.cli._console import percent, quantity, table
from rarefy.cli._fit import SPACE, fit_line
from rarefy.cli._progress import ShareBar
from rarefy.cli._summary import describe
from rarefy.config import Config
from rarefy.records import Record, describe_metric, describe_metrics

if TYPE_CHECKING:
    from rarefy.pipeline import Progress as EvaluationUpdate


_WIDE = 80  # columns of a terminal in which parts are aligned


class EvaluationProgress(ShareBar):
    """Shows a bar on a terminal, and prints one line per finished part.

    Args:
        screen: Where to show it.
    """

    def __init__(self, screen: Console) -> None:
        text, bar = TextColumn("{task.description}"), BarColumn(bar_width=20)
        super().__init__(screen, text, bar, TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn())

    def __call__(self, update: EvaluationUpdate) -> None:
        """Shows what is new."""
        self.show(f"{update.run}  {update.part}", update.share)
        if update.seconds is not None:
            time = f"{update.seconds:.1f} s" if update.seconds else "already known"
            share, width = f"{100 * update.share:3.0f}% of all", self._screen.width
            part, time = (f"{update.part:<32}", f"{time:>14}") if width >= _WIDE else (update.part, time)
            self._screen.print(fit_line([(1, update.run), (1, part), (3, time), (2, share)], width))


_OF_ONE = ("what", "seed")  # rows that a column of several runs does not have
_WORDS = 24  # columns into which longer texts are broken


@dataclasses.dataclass(frozen=True)
class Cell:
    """A number of one run: as text with everything about it, and alone, for means over seeds.

    Args:
        text: What the table shows of one run.
        value: The number; None if runs have no mean of it.
        form: Formats a mean.
    """

    text: str
    value: float | None = None
    form: Callable[[float], str] = percent


def results(records: Sequence[Record], width: int) -> Iterator[Table]:
    """Yields tables of all scalars: a column per run, or per group of seeds where there are several of one.

    Columns for which a table has no space are in the next one.

    Args:
        records: The records of the runs.
        width: Columns of the terminal.
    """
    groups, whole = _group(records), {record.id for record in records}
    if len(groups) == len(records):
        columns = {record.id: {name: cell.text for name, cell in _cells(record)} for record in records}
    else:
        columns = {name: _average([dict(_cells(record)) for record in group]) for name, group in groups.items()}
    names = list(dict.fromkeys(name for column in columns.values() for name in column))
    left = width - min(width // 2, max(map(len, names))) - SPACE
    sizes = {name: min(_WORDS, max(map(len, (name, *column.values())))) for name, column in columns.items()}
    for headings in _chunk(sizes, left):
        rows = [(name, *[columns[heading].get(name, "-") for heading in headings]) for name in names]
        yield table(None, ("", *headings), rows, whole=whole)


def _group(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Groups records that differ in their seed only; the names are what they are, with a number where two are alike."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        settings = {name: value for name, value in record.config.items() if name != "seed"}
        groups.setdefault(json.dumps([settings, record.fingerprint], sort_keys=True), []).append(record)
    named: dict[str, list[Record]] = {}
    for members in groups.values():
        config = Config.from_values(members[0].config)
        name = f"{config.model.name} {describe(config)}"
        alike = sum(other.partition(" (")[0] == name for other in named)
        named[f"{name} ({alike + 1})" if alike else name] = members
    return named


def _average(columns: Sequence[Mapping[str, Cell]]) -> dict[str, str]:
    """Averages the cells of several seeds: mean and standard deviation; texts stay where they are the same."""
    averages = {"seeds": str(len(columns))}
    for name in dict.fromkeys(name for column in columns for name in column if name not in _OF_ONE):
        cells = [column[name] for column in columns if name in column]
        values = [cell.value for cell in cells if cell.value is not None]
        texts = {cell.text for cell in cells}
        if len(texts) == 1:
            averages[name] = texts.pop()
        elif len(values) == len(cells):
            form, mean = cells[0].form, statistics.fmean(values)
            averages[name] = f"{form(mean)} ± {form(statistics.stdev(values))}" if len(values) > 1 else form(mean)
    return averages


def _chunk(sizes: Mapping[str, int], width: int) -> Iterator[list[str]]:
    """Yields headings of as many columns as fit next to each other, at least one."""
    headings: list[str] = []
    used = 0
    for heading, size in sizes.items():
        if headings and used + size + SPACE > width:
            yield headings
            headings, used = [], 0
        headings.append(heading)
        used += size + SPACE
    if headings:
        yield headings


def _cells(record: Record) -> Iterator[tuple[str, Cell]]:
    """Yields the title of each number of a record, and its cell."""
    infos = describe_metrics(record.metrics["test"])
    yield from ((describe_metric(name, infos).title, cell) for name, cell in _list_numbers(record))


def _list_numbers(record: Record) -> Iterator[tuple[str, Cell]]:
    """Yields each number with its dotted name, or with what it is called if it is no metric."""
    test = record.metrics["test"]
    yield "what", Cell(describe(config := Config.from_values(record.config)))
    yield "seed", Cell(str(config.seed))
    yield "accuracy", _percent(test["accuracy"], test.get("accuracy_interval"))
    if "top5" in test:
        yield "top5", _percent(test["top5"])
    yield "loss", _number(test["loss"], "{:.4f}")
    yield from _plugin_metrics(test)
    for side in ("before", "after") if "calibration" in test else ():
        judged = test["calibration"][side]
        yield (
            f"calibration.{side}.ece",
            Cell(f"{percent(judged['ece'])} (mass {percent(judged['ece_mass'])})", judged["ece"]),
        )
        yield f"calibration.{side}.brier", _number(judged["brier"], "{:.4f}")
    for source, result in test.get("ood", {}).items():
        yield from _ood(source, result["scores"])
    for label, result in test.get("attacks", {}).items():
        yield f"attacks.{label}.robust", _percent(result["robust"], result["robust_interval"])
    yield from _corruptions(test)
    yield from _cost(test)
    yield from _flow(test)


def _percent(value: float | None, interval: Sequence[float] | None = None) -> Cell:
    return Cell(percent(value) + (f" [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]" if interval else ""), value)


def _number(value: float, form: str) -> Cell:
    return Cell(form.format(value), value, form.format)


def _plugin_metrics(test: Mapping[str, Any]) -> Iterator[tuple[str, Cell]]:
    infos = describe_metrics(test)
    for name in test.get("described", {}):
        if isinstance(value := test.get(name), int | float):
            fraction = infos[name].unit == "fraction"
            yield name, _percent(value) if fraction else _number(value, "{:.4g}")


def _ood(source: str, scores: Mapping[str, Mapping[str, float]]) -> Iterator[tuple[str, Cell]]:
    """Yields the rows of the paper's score and of the best score."""
    if "max_softmax" in scores:
        yield f"ood.{source}.scores.max_softmax.auroc", _detection(scores["max_softmax"])
    best = max(scores, key=lambda name: scores[name]["auroc"])
    yield f"AUROC of the best score, {source}", _detection(scores[best], f"{best} ")


def _detection(result: Mapping[str, float], score: str = "") -> Cell:
    return Cell(f"{score}{percent(result['auroc'])} (FPR95 {100 * result['fpr95']:.1f}%)", result["auroc"])


def _corruptions(test: Mapping[str, Any]) -> Iterator[tuple[str, Cell]]:
    if "corruptions" in test:
        result = test["corruptions"]
        yield (
            "corruptions.mean_error",
            Cell(f"{percent(result['mean_error'])} ({result['source']})", result["mean_error"]),
        )


def _cost(test: Mapping[str, Any]) -> Iterator[tuple[str, Cell]]:
    if "cost" in test:
        cost = test["cost"]
        yield "weights kept", Cell(f"{cost['parameters']['kept']:,} of {cost['parameters']['prunable']:,}")
        kept, dense = cost["flops"]["kept"], cost["flops"]["dense"]
        yield (
            "FLOPs of an image (2 a multiply-add)",
            Cell(f"{quantity(kept)} ({kept / dense:.3f} of dense)", kept, quantity),
        )
        size = cost["bytes"]["model"]
        yield "bytes on disk", Cell(f"{quantity(size)}B", size, lambda number: f"{quantity(number)}B")
        for batch, result in cost["latency"].items():
            time = 1000 * result["seconds"]
            yield f"latency, batch {batch}", Cell(f"{time:.2f} ms ({result['engine']})", time, "{:.2f} ms".format)


def _flow(test: Mapping[str, Any]) -> Iterator[tuple[str, Cell]]:
    if "flow" in test:
        flow = test["flow"]
        for when in ("initial", "final"):
            yield f"flow.gradient_norm.{when}.total", _number(flow["gradient_norm"][when]["total"], "{:.4g}")
        yield "flow.effective_density.effective_density", _percent(flow["effective_density"]["effective_density"])
        dead = flow["dead_units"].get("fraction")
        yield "flow.dead_units.fraction", _percent(dead)
        if "hessian" in flow:
            yield "flow.hessian.eigenvalue", _number(flow["hessian"]["eigenvalue"], "{:.4g}")
