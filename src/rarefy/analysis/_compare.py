"""Groups of runs against a baseline, metric by metric: what the records of finished runs say, nothing is computed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from rarefy import evaluation
from rarefy.analysis._finished import CompareError, Run
from rarefy.analysis._groups import Group, baselines, check_seeds, grouped, notes_of
from rarefy.analysis._measured import Choice, in_points, matches
from rarefy.registry import unknown

Interval = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class ComparisonRow:
    """A group under one metric. All numbers are in the record's unit: accuracies are fractions in [0, 1].

    Args:
        group: Its name.
        seeds: One a run.
        values: One a seed.
        mean: Of them.
        interval: Its t interval; None for one seed.
        baseline: The group it is compared with; itself for a baseline, and then what follows is None.
        difference: Mean of the group minus mean of the baseline.
        welch: Welch's interval of the difference.
        bootstrap: Percentile bootstrap interval of the difference.
        p_value: Of the test that the difference is inside the margin; None where there is no margin.
        verdict: "yes", the same within the margin; "no"; "cannot tell"; None where there is no margin.
        reason: Why, in a sentence, its numbers in the unit that is shown (points).
        seeds_needed: Seeds a group with which the test would decide in 4 of 5 cases.

    Example:
        >>> row = ComparisonRow("dense", seeds=(17,), values=(0.92,), mean=0.92, interval=None, baseline="dense")
        >>> row.difference is None
        True
    """

    group: str
    seeds: tuple[int, ...]
    values: tuple[float, ...]
    mean: float
    interval: Interval | None
    baseline: str
    difference: float | None = None
    welch: Interval | None = None
    bootstrap: Interval | None = None
    p_value: float | None = None
    verdict: str | None = None
    reason: str | None = None
    seeds_needed: int | None = None


@dataclasses.dataclass(frozen=True)
class MetricTable:
    """One metric of all groups.

    Args:
        metric: Dotted path in a record's ``metrics.test``.
        points: Whether it is an accuracy, an error or their like, which a person reads in percent.
        margin: How much of a difference does not matter, in the record's unit; None: not said.
        rows: One a group, each baseline before the groups that are compared with it.

    Example:
        >>> MetricTable("accuracy", points=True, margin=0.005, rows=()).margin
        0.005
    """

    metric: str
    points: bool
    margin: float | None
    rows: tuple[ComparisonRow, ...]


@dataclasses.dataclass(frozen=True)
class RunComparison:
    """What `compare_runs` found.

    Args:
        groups: The groups that are compared, baselines among them.
        tables: One a metric.
        notes: What a reader has to know: what was left out and why, and what is not alike.
        confidence: Of the intervals.

    Example:
        >>> RunComparison((), (), ("Left out: top5.",), 0.95).notes[0]
        'Left out: top5.'
    """

    groups: tuple[Group, ...]
    tables: tuple[MetricTable, ...]
    notes: tuple[str, ...]
    confidence: float


def compare_runs(
    runs: Sequence[Run],
    baseline: str = "dense",
    *,
    metrics: Sequence[str] = (),
    points: float = 0.5,
    margins: Mapping[str, float] | None = None,
    confidence: float = 0.95,
    progress: Callable[[float], None] = lambda share: None,
) -> RunComparison:
    """Compares groups of runs that differ in the seed only with a baseline.

    Where runs were computed (device, engine, compilation) does not part them; any other setting does.

    Args:
        runs: As from `read_runs`.
        baseline: A group's name, a run's id or folder, or ``dense``. Where several groups are dense, each group is
            compared with the dense one of the same data, model and training.
        metrics: Dotted paths in ``metrics.test``, or patterns with ``*``; none: one number of every part.
        points: Margin of every accuracy, error and their like, in points: 0.5 is 0.005.
        margins: Metric or pattern to a margin of its own, in points for these, else in the metric's unit.
        confidence: Of the intervals; the test of equivalence is at 5%.
        progress: Told the share of the comparisons that is done.
    Raises:
        UnknownName: If there is no such baseline, or a margin is of a metric that is not compared.
        CompareError: If there is nothing to compare, a seed is in a group twice, or a metric is not there.
        ValueError: If a margin or the confidence is out of range.

    Example:
        >>> compare_runs([])
        Traceback (most recent call last):
        ...
        rarefy.analysis._finished.CompareError: There are no runs to compare. Name folders that hold finished runs.
    """
    if not runs:
        raise CompareError("There are no runs to compare. Name folders that hold finished runs.")
    if not 0 < confidence < 1:
        raise CompareError(f"The confidence has to be between 0 and 1, such as 0.95; got {confidence:g}.")
    everything = grouped(runs)
    for group in everything:
        check_seeds(group)
    pairs = baselines(everything, baseline)
    used = {base for name, base in pairs.items() if name != base}
    groups = [group for group in everything if group.name in used or pairs.get(group.name, group.name) != group.name]
    choice = Choice(groups, used, metrics)
    limits = _limits(choice.metrics, points, margins or {})
    tables: list[MetricTable] = []
    for metric, margin in limits.items():
        rows: list[ComparisonRow] = []
        for row in _rows(metric, margin, choice, pairs, confidence):
            progress((len(tables) + len(rows) / len(groups)) / len(limits))
            rows.append(row)
        tables.append(MetricTable(metric, in_points(metric), margin, tuple(rows)))
    notes = [*_unlike(everything, groups, pairs), *choice.notes, *notes_of(groups)]
    return RunComparison(tuple(groups), tuple(tables), tuple(notes), confidence)


def _limits(metrics: Iterable[str], points: float, margins: Mapping[str, float]) -> dict[str, float | None]:
    """Metric to its margin in the record's unit."""
    for name, margin in {"points": points, **margins}.items():
        if not 0 < margin < math.inf:
            raise CompareError(f"The margin of {name} has to be a number above 0; got {margin:g}.")
    limits = {metric: points / 100 if in_points(metric) else None for metric in metrics}
    for name, margin in margins.items():
        matching = [metric for metric in limits if matches(metric, name)]
        if not matching:
            raise unknown("metric of --margin", name, limits)
        limits |= {metric: margin / 100 if in_points(metric) else margin for metric in matching}
    return limits


def _rows(
    metric: str, margin: float | None, choice: Choice, pairs: Mapping[str, str], confidence: float
) -> Iterator[ComparisonRow]:
    """Every baseline that has the metric, followed by the groups that are compared with it."""
    having = {group.name: group for group in choice.metrics[metric]}
    for base in dict.fromkeys(pairs[name] for name in having):
        others = [group for name, group in having.items() if pairs[name] == base and name != base]
        if base in having and others:
            yield from _against([having[base], *others], metric, margin, choice, confidence)


def _against(
    groups: Sequence[Group], metric: str, margin: float | None, choice: Choice, confidence: float
) -> Iterator[ComparisonRow]:
    """The first group, and the others compared with it."""
    base, seeds = groups[0].name, {group.name: group.seeds for group in groups}
    values = {group.name: choice.values(metric, group) for group in groups}
    scale = 100.0 if in_points(metric) else 1.0
    limit = margin or 1.0  # without a margin there are differences and intervals, which do not depend on it
    found = evaluation.compare(values, base, metric, limit, confidence=confidence)
    shown = {name: [scale * value for value in several] for name, several in values.items()}
    told = evaluation.compare(shown, base, metric, scale * limit, confidence=confidence)  # for its words
    yield _row(found[0].baseline, base, seeds[base], base)
    for each, words in zip(found, told, strict=True):
        row = _row(each.group, each.name, seeds[each.name], base)
        row = dataclasses.replace(row, difference=each.difference, welch=each.welch, bootstrap=each.bootstrap)
        if margin is not None:
            row = dataclasses.replace(row, p_value=each.p_value, verdict=each.verdict, reason=words.reason)
            row = dataclasses.replace(row, seeds_needed=each.seeds)
        yield row


def _row(summary: evaluation.Summary, name: str, seeds: tuple[int, ...], base: str) -> ComparisonRow:
    return ComparisonRow(name, seeds, summary.values, summary.mean, summary.interval, base)


def _unlike(everything: Sequence[Group], groups: Sequence[Group], pairs: Mapping[str, str]) -> Iterator[str]:
    """What is not alike beyond how sparse it is, and who has no baseline."""
    by_name = {group.name: group for group in everything}
    used = dict.fromkeys(pairs[group.name] for group in groups)
    if len(used) > 1:
        told = "; ".join(f"{', '.join(n for n, b in pairs.items() if b == base != n)} with {base}" for base in used)
        yield f"Several groups are dense, so like is compared with like: {told}."
    for name in sorted(by_name.keys() - {group.name for group in groups}):
        yield f"Left out: {name}. Of the same data, model and training there is none to compare it with."
    for group in groups:
        places = group.differs(by_name[pairs[group.name]])
        if places:
            yield f"{group.name} differs from {pairs[group.name]} in more than how sparse it is: {', '.join(places)}."
