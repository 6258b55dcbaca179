"""Selects the metrics by which runs are compared."""

from __future__ import annotations

import dataclasses
import difflib
import fnmatch
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rarefy import records
from rarefy.analysis._finished import CompareError, FinishedRun
from rarefy.analysis._groups import Group

_PART_METRICS = (
    *("calibration.after.ece", "ood.*.scores.max_softmax.auroc", "attacks.*.robust", "corruptions.mean_error"),
    *("flow.gradient_norm.*.total", "flow.effective_density.effective_density", "flow.dead_units.fraction"),
    "flow.hessian.eigenvalue",
)
"""Numbers compared by default besides the headline metrics: one of every other part of an evaluation."""

_PART_FRACTIONS = ("auroc", "aupr_in", "aupr_out", "fpr95", "clean", "robust", "mean_error")
"""Last parts of the names of other numbers that are shown in percent."""

# Entries that tell how a metric was measured; only metrics measured in the same way are compared.
_CONDITIONS = ("images", "inside", "attack", "options", "source", "severities")


@dataclasses.dataclass(frozen=True)
class MetricValue:
    """A number of a record, how it was measured, and whether it is shown in percent (0.005 is half a point)."""

    value: float
    how: Mapping[str, Any]
    in_points: bool


def list_default_metrics(tests: Iterable[Mapping[str, Any]]) -> list[str]:
    """Lists the names and patterns of metrics compared by default: headline metrics first, fractions before others.

    Args:
        tests: ``metrics.test`` of some records.

    Example:
        >>> list_default_metrics([{}])[:4]
        ['accuracy', 'loss', 'calibration.before.ece', 'calibration.before.brier']
    """
    infos: dict[str, records.MetricInfo] = {}
    for test in tests:
        infos |= records.describe_metrics(test)
    headlines = sorted((info.unit != "fraction", name) for name, info in infos.items() if info.is_headline)
    names = [name for _, name in headlines]
    in_calibration = [n for n in names if infos[n].uses_confidence and n not in records.Metrics.model_fields]
    top_level = [name for name in names if name not in in_calibration]
    return [*top_level, *(f"calibration.before.{name}" for name in in_calibration), *_PART_METRICS]


def matches_metric(metric: str, pattern: str) -> bool:
    """Whether a metric's name matches a pattern, in which ``*`` stands for anything.

    Example:
        >>> matches_metric("ood.noise.auroc", "ood.*.auroc"), matches_metric("top5", "top")
        (True, False)
    """
    return metric == pattern or ("*" in pattern and fnmatch.fnmatchcase(metric, pattern))


def read_metrics(run: FinishedRun) -> dict[str, MetricValue]:
    """Reads the numbers among a run's test metrics, by dotted name (not options and timings)."""
    test = run.record.metrics.get("test", {})
    fractions = {name for name, info in records.describe_metrics(test).items() if info.unit == "fraction"}
    numbers = {name: value for name, value in test.items() if name not in ("evaluated", "described")}
    return {
        name: MetricValue(value, how, name.rpartition(".")[2] in {*fractions, *_PART_FRACTIONS})
        for name, value, how in _iterate_numbers(numbers, "", {})
    }


def _iterate_numbers(
    values: Mapping[str, Any], above: str, how: Mapping[str, Any]
) -> Iterator[tuple[str, float, Mapping[str, Any]]]:
    how = {**how, **{name: values[name] for name in _CONDITIONS if name in values}}
    if isinstance(values.get("errors"), Mapping):
        how["corruptions"] = sorted(values["errors"])
    for name, value in values.items():
        if name in _CONDITIONS:
            continue
        if isinstance(value, Mapping):
            yield from _iterate_numbers(value, f"{above}{name}.", how)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield above + name, float(value), how


class MetricSelection:
    """The metrics to compare, the groups that have each, and what is left out and why.

    Args:
        groups: The groups to compare.
        baselines: Names of those that are baselines.
        patterns: Names or patterns of metrics; empty: those of `list_default_metrics`. A metric given by its full name
            must exist.
    Raises:
        CompareError: If a metric is unknown, a baseline lacks a given one, it was measured in different ways, or no
            metric is left.
    """

    def __init__(self, groups: Sequence[Group], baselines: Iterable[str], patterns: Sequence[str]) -> None:
        self._groups, self._baselines = groups, set(baselines)
        self.of = {run.folder: read_metrics(run) for group in groups for run in group.runs}
        self._known = dict.fromkeys(name for numbers in self.of.values() for name in numbers)
        self.metrics: dict[str, list[Group]] = {}
        self._lacking: dict[tuple[str, ...], list[str]] = {}
        self._unlike: list[str] = []
        runs = (run for group in groups for run in group.runs)
        self._defaults = list_default_metrics(run.record.metrics.get("test", {}) for run in runs)
        for pattern in patterns or self._defaults:
            exact = bool(patterns) and "*" not in pattern
            for metric in self._matching(pattern, needed=bool(patterns)):
                self._add(metric, exact=exact)
        if not self.metrics:
            raise CompareError(" ".join(["No metric is left to compare.", *self.notes]))

    @property
    def notes(self) -> list[str]:
        """Sentences that say what is left out and why."""
        lacking = [
            f"Left out: {', '.join(metrics)}. Not in {', '.join(who)}; `rarefy eval` adds what is missing."
            for who, metrics in self._lacking.items()
        ]
        return [*lacking, *(f"Left out: {text}" for text in self._unlike)]

    def _matching(self, pattern: str, *, needed: bool) -> list[str]:
        found = [name for name in self._known if matches_metric(name, pattern)]
        if found or not needed:
            return found
        near = difflib.get_close_matches(pattern, list(self._known), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        main = [name for name in self._known if any(matches_metric(name, default) for default in self._defaults)]
        raise CompareError(
            f"Unknown metric {pattern!r}.{hint} These runs have {len(self._known)}, the main ones: {', '.join(main)}. "
            "A * stands for anything: 'ood.*.auroc'. What is not there, `rarefy eval` may add."
        )

    def _add(self, metric: str, *, exact: bool) -> None:
        lacking = {g.name: [run.id for run in g.runs if metric not in self.of[run.folder]] for g in self._groups}
        lacking = {name: runs for name, runs in lacking.items() if runs}
        having = [group for group in self._groups if group.name not in lacking]
        who = tuple(f"{name} ({', '.join(runs)})" for name, runs in lacking.items())
        if exact and self._baselines & lacking.keys():
            raise CompareError(f"The baseline has no {metric}: not in {', '.join(who)}. `rarefy eval` adds it.")
        if lacking:
            self._lacking.setdefault(who, []).append(metric)
        if lacking and (not exact or len(having) < 2):
            return
        unlike = self._differences(metric, having)
        if unlike and exact:
            raise CompareError(f"{unlike} Evaluate them in the same way: `rarefy eval`.")
        if unlike:
            self._unlike.append(unlike)
        else:
            self.metrics[metric] = having

    def _differences(self, metric: str, groups: Sequence[Group]) -> str:
        """Says in what way a metric was measured differently; a record that does not say agrees with any other."""
        for condition in (*_CONDITIONS, "corruptions"):
            by_value: dict[str, str] = {}
            for run in (run for group in groups for run in group.runs):
                how = self.of[run.folder][metric].how
                if condition in how:
                    by_value.setdefault(json.dumps(how[condition], sort_keys=True), run.id)
            if len(by_value) > 1:
                values = ", ".join(f"{value} in {run}" for value, run in by_value.items())
                return f"{metric} was not measured in the same way, {condition}: {values}."
        return ""

    def is_in_points(self, metric: str) -> bool:
        """Whether a metric is shown in percent (an accuracy, an error or similar): 0.005 is half a point."""
        return any(numbers[metric].in_points for numbers in self.of.values() if metric in numbers)

    def values(self, metric: str, group: Group) -> list[float]:
        """Values of a metric, one per run."""
        return [self.of[run.folder][metric].value for run in group.runs]
