"""Compares groups of finished runs with a baseline, metric by metric."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from rarefy.analysis._finished import CompareError, FinishedRun
from rarefy.analysis._groups import Group, check_seeds, collect_notes, group_runs, match_baselines
from rarefy.analysis._measured import MetricSelection, matches_metric
from rarefy.registry import make_unknown_error
from rarefy.statistics import Summary, compare_groups, summarize

Interval = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class ComparisonRow:
    """Result of one group for one metric, in the record's unit: accuracies are fractions in [0, 1].

    Args:
        group: Name of the group.
        seeds: Seeds of its runs.
        values: Values of its runs.
        mean: Their mean.
        interval: t interval of the mean; None for one seed.
        baseline: Name of the group it is compared with; for a baseline its own name, and the fields below are None.
        difference: Mean of the group minus mean of the baseline.
        welch: Welch's interval of the difference.
        bootstrap: Percentile bootstrap interval of the difference.
        p_value: p value of the test that the difference is inside the margin; None without a margin.
        verdict: "yes" (equal within the margin), "no" or "cannot tell"; None without a margin.
        reason: Reason of the verdict, a sentence with its numbers as shown (in points).
        seeds_needed: Seeds per group for 80% power, assuming the observed difference and spread are true.

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
    """Results of all groups for one metric.

    Args:
        metric: Dotted name in a record's ``metrics.test``.
        points: Whether it is shown in percent (an accuracy, an error or similar).
        margin: Equivalence margin in the record's unit; None: no test of equivalence.
        rows: One row per group, each baseline before the groups compared with it.

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
    """Result of `compare_runs`.

    Args:
        groups: The compared groups, including baselines.
        tables: One table per metric.
        notes: What was left out and why, and which groups differ in more than sparsity.
        confidence: Confidence level of the intervals.

    Example:
        >>> RunComparison((), (), ("Left out: top5.",), 0.95).notes[0]
        'Left out: top5.'
    """

    groups: tuple[Group, ...]
    tables: tuple[MetricTable, ...]
    notes: tuple[str, ...]
    confidence: float


def compare_runs(
    runs: Sequence[FinishedRun],
    baseline: str = "dense",
    *,
    metrics: Sequence[str] = (),
    points: float = 0.5,
    margins: Mapping[str, float] | None = None,
    confidence: float = 0.95,
    progress: Callable[[float], None] = lambda share: None,
) -> RunComparison:
    """Groups runs that differ only in their seed, and compares the groups with a baseline.

    How a run was computed (device, engine, compilation) does not separate groups; every other setting does.

    Args:
        runs: Runs from `read_runs`.
        baseline: A group's name, a run's id or folder, or ``dense``. If several groups are dense, each group is
            compared with the dense one of the same data, model and training.
        metrics: Dotted names in ``metrics.test``, or patterns with ``*``; empty: one metric of every part.
        points: Equivalence margin of metrics shown in percent, in percentage points: 0.5 is 0.005.
        margins: Margins by metric or pattern, in percentage points for metrics shown in percent, else in their unit.
        confidence: Confidence level of the intervals; the test of equivalence is at 5%.
        progress: Called with the fraction of the comparisons that is done.
    Raises:
        UnknownName: If there is no such baseline, or no compared metric matches a margin.
        CompareError: If there is nothing to compare, a group has a seed twice, or a metric does not exist.
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
    all_groups = group_runs(runs)
    for group in all_groups:
        check_seeds(group)
    pairs = match_baselines(all_groups, baseline)
    used = {base for name, base in pairs.items() if name != base}
    groups = [group for group in all_groups if group.name in used or pairs.get(group.name, group.name) != group.name]
    selection = MetricSelection(groups, used, metrics)
    limits = _resolve_margins(selection, points, margins or {})
    tables: list[MetricTable] = []
    for metric, margin in limits.items():
        rows: list[ComparisonRow] = []
        for row in _compare_metric(metric, margin, selection, pairs, confidence):
            progress((len(tables) + len(rows) / len(groups)) / len(limits))
            rows.append(row)
        tables.append(MetricTable(metric, selection.is_in_points(metric), margin, tuple(rows)))
    notes = [*_describe_differences(all_groups, groups, pairs), *selection.notes, *collect_notes(groups)]
    return RunComparison(tuple(groups), tuple(tables), tuple(notes), confidence)


def _resolve_margins(
    selection: MetricSelection, points: float, margins: Mapping[str, float]
) -> dict[str, float | None]:
    """Maps each metric to its margin in the record's unit."""
    for name, margin in {"points": points, **margins}.items():
        if not 0 < margin < math.inf:
            raise CompareError(f"The margin of {name} has to be a number above 0; got {margin:g}.")
    limits = {metric: points / 100 if selection.is_in_points(metric) else None for metric in selection.metrics}
    for name, margin in margins.items():
        matching = [metric for metric in limits if matches_metric(metric, name)]
        if not matching:
            raise make_unknown_error("metric of --margin", name, limits)
        limits |= {metric: margin / 100 if selection.is_in_points(metric) else margin for metric in matching}
    return limits


def _compare_metric(
    metric: str, margin: float | None, selection: MetricSelection, pairs: Mapping[str, str], confidence: float
) -> Iterator[ComparisonRow]:
    """Yields every baseline that has the metric, followed by the groups compared with it."""
    having = {group.name: group for group in selection.metrics[metric]}
    for base in dict.fromkeys(pairs[name] for name in having):
        others = [group for name, group in having.items() if pairs[name] == base and name != base]
        if base in having and others:
            yield from _compare_groups([having[base], *others], metric, margin, selection, confidence)


def _compare_groups(
    groups: Sequence[Group], metric: str, margin: float | None, selection: MetricSelection, confidence: float
) -> Iterator[ComparisonRow]:
    """Yields the first group, and the others compared with it."""
    base, seeds = groups[0].name, {group.name: group.seeds for group in groups}
    scale = 100.0 if selection.is_in_points(metric) else 1.0  # tested in the unit that is shown, for the reasons
    values = {group.name: selection.values(metric, group) for group in groups}
    shown = {name: [scale * value for value in several] for name, several in values.items()}
    limit = margin or 1.0  # without a margin only differences and intervals are used, which do not depend on it
    yield _make_row(summarize(values[base], confidence, name=base), base, seeds[base], base)
    for each in compare_groups(shown, base, metric, scale * limit, confidence=confidence):
        row = _make_row(summarize(values[each.name], confidence, name=each.name), each.name, seeds[each.name], base)
        welch, bootstrap = (_divide(ends, scale) for ends in (each.welch, each.bootstrap))
        row = dataclasses.replace(row, difference=each.difference / scale, welch=welch, bootstrap=bootstrap)
        if margin is not None:
            row = dataclasses.replace(row, p_value=each.p_value, verdict=each.verdict, reason=each.reason)
            row = dataclasses.replace(row, seeds_needed=each.seeds)
        yield row


def _divide(interval: Interval | None, scale: float) -> Interval | None:
    return (interval[0] / scale, interval[1] / scale) if interval else None


def _make_row(summary: Summary, name: str, seeds: tuple[int, ...], base: str) -> ComparisonRow:
    return ComparisonRow(name, seeds, summary.values, summary.mean, summary.interval, base)


def _describe_differences(
    all_groups: Sequence[Group], groups: Sequence[Group], pairs: Mapping[str, str]
) -> Iterator[str]:
    """Yields notes on groups that differ in more than sparsity or have no baseline."""
    by_name = {group.name: group for group in all_groups}
    used = dict.fromkeys(pairs[group.name] for group in groups)
    if len(used) > 1:
        pairing = "; ".join(f"{', '.join(n for n, b in pairs.items() if b == base != n)} with {base}" for base in used)
        yield f"Several groups are dense, so each group is compared with its own: {pairing}."
    for name in sorted(by_name.keys() - {group.name for group in groups}):
        yield f"Left out: {name}. There is no baseline of the same data, model and training."
    for group in groups:
        settings = group.differs(by_name[pairs[group.name]])
        if settings:
            yield f"{group.name} differs from {pairs[group.name]} in more than sparsity: {', '.join(settings)}."
