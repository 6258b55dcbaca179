"""Which numbers of their records runs are compared by."""

from __future__ import annotations

import dataclasses
import difflib
import fnmatch
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rarefy.analysis._finished import CompareError, Run
from rarefy.analysis._groups import Group

DEFAULT = (
    *("accuracy", "loss", "calibration.before.ece", "calibration.before.brier", "calibration.after.ece"),
    *("ood.*.scores.max_softmax.auroc", "attacks.*.robust", "corruptions.mean_error", "flow.gradient_norm.*.total"),
    *("flow.effective_density.effective_density", "flow.dead_units.fraction", "flow.hessian.eigenvalue"),
)
"""What is compared where nothing is asked for: one number of every part of an evaluation."""

IN_POINTS = (
    *("accuracy", "top5", "ece", "ece_mass", "classwise_ece", "auroc", "aupr_in", "aupr_out", "fpr95"),
    *("clean", "robust", "mean_error"),
)
"""Last names of the metrics that are accuracies, errors and their like: a person reads and judges them in percent."""

# How something was measured, beside the metrics: only what was measured alike is compared.
_CONDITIONS = ("images", "inside", "attack", "options", "source", "severities")


@dataclasses.dataclass(frozen=True)
class Measured:
    """A number of a record, and how it was measured."""

    value: float
    how: Mapping[str, Any]


def in_points(metric: str) -> bool:
    """Whether a metric is an accuracy, an error or their like, shown in percent: 0.005 is half a point.

    Example:
        >>> in_points("attacks.fgsm.robust"), in_points("loss")
        (True, False)
    """
    return metric.rpartition(".")[2] in IN_POINTS


def matches(metric: str, pattern: str) -> bool:
    """Whether a metric's name is the pattern, or fits it where it has a ``*``.

    Example:
        >>> matches("ood.noise.auroc", "ood.*.auroc"), matches("top5", "top")
        (True, False)
    """
    return metric == pattern or ("*" in pattern and fnmatch.fnmatchcase(metric, pattern))


def measured(run: Run) -> dict[str, Measured]:
    """Every number among a run's test metrics, by dotted path; how and when they were computed is none."""
    test = run.record.metrics.get("test", {})
    return dict(_numbers({name: value for name, value in test.items() if name != "evaluated"}, "", {}))


def _numbers(values: Mapping[str, Any], above: str, how: Mapping[str, Any]) -> Iterator[tuple[str, Measured]]:
    how = {**how, **{name: values[name] for name in _CONDITIONS if name in values}}
    if isinstance(values.get("errors"), Mapping):
        how["corruptions"] = sorted(values["errors"])
    for name, value in values.items():
        if name in _CONDITIONS:
            continue
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{above}{name}.", how)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield above + name, Measured(float(value), how)


class Choice:
    """The metrics that are compared, of which groups, and what was left out and why.

    Args:
        groups: The groups that are compared.
        needed: Names of those that are a baseline.
        asked: Names or patterns of metrics; none: `DEFAULT`. A metric asked for by its whole name must be there.
    Raises:
        CompareError: If a metric is unknown, a baseline lacks one that was asked for, it was not measured alike, or
            none is left.
    """

    def __init__(self, groups: Sequence[Group], needed: Iterable[str], asked: Sequence[str]) -> None:
        self._groups, self._needed = groups, set(needed)
        self.of = {run.folder: measured(run) for group in groups for run in group.runs}
        self._known = dict.fromkeys(name for numbers in self.of.values() for name in numbers)
        self.metrics: dict[str, list[Group]] = {}
        self._lacking: dict[tuple[str, ...], list[str]] = {}
        self._unlike: list[str] = []
        for pattern in asked or DEFAULT:
            exact = bool(asked) and "*" not in pattern
            for metric in self._matching(pattern, needed=bool(asked)):
                self._add(metric, exact=exact)
        if not self.metrics:
            raise CompareError(" ".join(["No metric is left to compare.", *self.notes]))

    @property
    def notes(self) -> list[str]:
        """A sentence for each reason that something was left out."""
        lacking = [
            f"Left out: {', '.join(metrics)}. Not in {', '.join(who)}; `rarefy eval` adds what is missing."
            for who, metrics in self._lacking.items()
        ]
        return [*lacking, *(f"Left out: {text}" for text in self._unlike)]

    def _matching(self, pattern: str, *, needed: bool) -> list[str]:
        found = [name for name in self._known if matches(name, pattern)]
        if found or not needed:
            return found
        near = difflib.get_close_matches(pattern, list(self._known), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        main = [name for name in self._known if any(matches(name, default) for default in DEFAULT)]
        raise CompareError(
            f"Unknown metric {pattern!r}.{hint} These runs have {len(self._known)}, the main ones: {', '.join(main)}. "
            "A * stands for anything: 'ood.*.auroc'. What is not there, `rarefy eval` may add."
        )

    def _add(self, metric: str, *, exact: bool) -> None:
        lacking = {g.name: [run.id for run in g.runs if metric not in self.of[run.folder]] for g in self._groups}
        lacking = {name: runs for name, runs in lacking.items() if runs}
        having = [group for group in self._groups if group.name not in lacking]
        who = tuple(f"{name} ({', '.join(runs)})" for name, runs in lacking.items())
        if exact and self._needed & lacking.keys():
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
        """What was not alike when a metric was measured; a record that does not say is taken to be like the others."""
        for condition in (*_CONDITIONS, "corruptions"):
            by_value: dict[str, str] = {}
            for run in (run for group in groups for run in group.runs):
                how = self.of[run.folder][metric].how
                if condition in how:
                    by_value.setdefault(json.dumps(how[condition], sort_keys=True), run.id)
            if len(by_value) > 1:
                told = ", ".join(f"{value} in {run}" for value, run in by_value.items())
                return f"{metric} was not measured alike, {condition}: {told}."
        return ""

    def values(self, metric: str, group: Group) -> list[float]:
        """A metric's values, one a run."""
        return [self.of[run.folder][metric].value for run in group.runs]
