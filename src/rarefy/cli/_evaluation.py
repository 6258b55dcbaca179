"""Progress of an evaluation, and its results as a table: one row per number and one column per run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from rarefy.cli._console import percent, quantity, table
from rarefy.cli._progress import ShareBar
from rarefy.cli._summary import describe
from rarefy.config import Config
from rarefy.records import Record, describe_metrics

if TYPE_CHECKING:
    from rarefy.pipeline import Progress as EvaluationUpdate


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
            self._screen.print(f"{update.run}  {update.part:<32} {time:>14}   {100 * update.share:3.0f}% of all")


def results(records: Sequence[Record]) -> Table:
    """Builds a table of all scalars, one column per run."""
    columns = [dict(_rows(record)) for record in records]
    names = list(dict.fromkeys(name for column in columns for name in column))
    rows = [(name, *[column.get(name, "-") for column in columns]) for name in names]
    return table(None, ("", *[record.id for record in records]), rows)


def _rows(record: Record) -> Iterator[tuple[str, str]]:
    test = record.metrics["test"]
    yield "what", describe(config := Config.from_values(record.config))
    yield "seed", str(config.seed)
    yield "accuracy", _with_interval(test["accuracy"], test.get("accuracy_interval"))
    if "top5" in test:
        yield "top-5 accuracy", percent(test["top5"])
    yield "NLL", f"{test['loss']:.4f}"
    yield from _plugin_metrics(test)
    for when, judged in _calibrations(test):
        yield f"ECE {when}", f"{percent(judged['ece'])} (mass {percent(judged['ece_mass'])})"
        yield f"Brier {when}", f"{judged['brier']:.4f}"
    for source, result in test.get("ood", {}).items():
        yield from _ood(source, result["scores"])
    for label, result in test.get("attacks", {}).items():
        yield f"robust {label}", _with_interval(result["robust"], result["robust_interval"])
    yield from _corruptions(test)
    yield from _cost(test)
    yield from _flow(test)


def _with_interval(value: float, interval: Sequence[float] | None) -> str:
    return percent(value) + (f" [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]" if interval else "")


def _plugin_metrics(test: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    infos = describe_metrics(test)
    for name in test.get("described", {}):
        if isinstance(value := test.get(name), int | float):
            yield infos[name].title or name, percent(value) if infos[name].unit == "fraction" else f"{value:.4g}"


def _calibrations(test: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if "calibration" in test:
        yield "as it is", test["calibration"]["before"]
        yield "after temperature", test["calibration"]["after"]


def _ood(source: str, scores: Mapping[str, Mapping[str, float]]) -> Iterator[tuple[str, str]]:
    """Yields the rows of the paper's score and of the best score."""
    if "max_softmax" in scores:
        yield f"AUROC {source}, max_softmax", _format_detection(scores["max_softmax"])
    best = max(scores, key=lambda name: scores[name]["auroc"])
    yield f"AUROC {source}, best score", f"{best} {_format_detection(scores[best])}"


def _format_detection(result: Mapping[str, float]) -> str:
    return f"{percent(result['auroc'])} (FPR95 {100 * result['fpr95']:.1f}%)"


def _corruptions(test: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "corruptions" in test:
        result = test["corruptions"]
        yield f"mean corruption error ({result['source']})", percent(result["mean_error"])


def _cost(test: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "cost" in test:
        cost = test["cost"]
        yield "weights kept", f"{cost['parameters']['kept']:,} of {cost['parameters']['prunable']:,}"
        kept, dense = cost["flops"]["kept"], cost["flops"]["dense"]
        yield "FLOPs of an image (2 a multiply-add)", f"{quantity(kept)} ({kept / dense:.3f} of dense)"
        yield "bytes on disk", f"{quantity(cost['bytes']['model'])}B"
        for batch, result in cost["latency"].items():
            yield f"latency, batch {batch}", f"{1000 * result['seconds']:.2f} ms ({result['engine']})"


def _flow(test: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "flow" in test:
        flow = test["flow"]
        for when in ("initial", "final"):
            yield f"gradient norm, {when}", f"{flow['gradient_norm'][when]['total']:.4g}"
        yield "effective density", percent(flow["effective_density"]["effective_density"])
        dead = flow["dead_units"].get("fraction")
        yield "dead units", percent(dead)
        if "hessian" in flow:
            yield "Hessian's top eigenvalue", f"{flow['hessian']['eigenvalue']:.4g}"
