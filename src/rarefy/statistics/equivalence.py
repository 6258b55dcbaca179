"""Tests over seeds whether two groups of runs are equal within a margin."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from rarefy.errors import InvalidInput
from rarefy.registry import make_unknown_error
from rarefy.rng import derive_seed
from rarefy.statistics._power import count_seeds_needed, welch_error

Interval = tuple[float, float]
Verdict = Literal["yes", "no", "cannot tell"]
RESAMPLES = 10_000  # of the bootstrap
POWER = 0.8  # probability that a test with `Comparison.seeds` seeds decides


@dataclasses.dataclass(frozen=True)
class Summary:
    """Values, mean and interval of a group, that is, of runs that differ only in their seed.

    Args:
        values: One value per seed.
        mean: Their mean.
        interval: t interval of the mean; None for one seed.

    Example:
        >>> Summary((0.91, 0.93), 0.92, None).mean
        0.92
    """

    values: tuple[float, ...]
    mean: float
    interval: Interval | None


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Comparison of a group of runs with a baseline.

    Args:
        name: Name of the group.
        metric: Name of the metric.
        margin: Equivalence margin, in the metric's unit.
        group: Summary of the group.
        baseline: Summary of the baseline.
        difference: Mean of the group minus mean of the baseline.
        welch: Welch's t interval of the difference; None if the spread is unknown.
        bootstrap: Percentile bootstrap interval of the difference; too narrow for few seeds. None for one seed.
        p_value: p value of the test that the difference is inside the margin (the larger of two one-sided ones).
        verdict: ``"yes"`` (equal within the margin, or not worse with ``better_is_same``), ``"no"`` or
            ``"cannot tell"``.
        reason: Reason of the verdict, in a sentence.
        seeds: Seeds per group for 80% power, assuming the observed difference and spread are true; None if unknown or
            over 100,000.

    Example:
        >>> compare_groups({"dense": [0.92, 0.93], "sparse": [0.92]}, "dense", "accuracy", 0.01)[0].verdict
        'cannot tell'
    """

    name: str
    metric: str
    margin: float
    group: Summary
    baseline: Summary
    difference: float
    welch: Interval | None
    bootstrap: Interval | None
    p_value: float | None
    verdict: Verdict
    reason: str
    seeds: int | None


def compare_groups(
    groups: Mapping[str, Sequence[float]],
    baseline: str,
    metric: str,
    margin: float,
    *,
    confidence: float = 0.95,
    alpha: float = 0.05,
    better_is_same: bool = False,
    seed: int = 0,
) -> list[Comparison]:
    """Compares groups of runs with a baseline by two one-sided tests (TOST) of equivalence.

    The verdict is "yes" if the ``1 - 2 alpha`` Welch interval of the difference lies inside the margin, which is
    equivalent to rejecting both one-sided tests at ``alpha``; "no" if it lies outside, above or below; else "cannot
    tell". Equal seeds are not paired, and nothing is corrected for the number of groups.

    Args:
        groups: Maps each group's name, including the baseline's, to one value per seed.
        baseline: Name of the baseline.
        metric: Name of the metric, for the result.
        margin: Equivalence margin, above 0, in the values' unit (0.005 is half a percentage point of a fraction).
        confidence: Confidence level of the intervals.
        alpha: Level of the one-sided tests, below 0.5.
        better_is_same: Whether any gain over the baseline counts as "yes". Larger values must be better; only the
            lower of the two one-sided tests is used, which makes it a test of non-inferiority.
        seed: Root seed of the bootstrap.
    Returns:
        One comparison per group other than the baseline, in the order of the groups.
    Raises:
        ValueError: If a name is unknown, a group is empty or has a value that is not finite, or an option is out of
            range.

    Example:
        >>> groups = {"dense": [0.921, 0.924, 0.922], "sparse": [0.921, 0.922, 0.923], "tiny": [0.902, 0.901, 0.904]}
        >>> for result in compare_groups(groups, "dense", "accuracy", 0.005):
        ...     result.name, round(result.difference, 4), result.verdict
        ('sparse', -0.0003, 'yes')
        ('tiny', -0.02, 'no')

    References:
        Schuirmann, 1987, Journal of Pharmacokinetics and Biopharmaceutics 15 (TOST); Welch, 1947, Biometrika 34.
    """
    if baseline not in groups:
        raise make_unknown_error("baseline", baseline, groups)
    if not (0 < margin < math.inf and 0 < confidence < 1 and 0 < alpha < 0.5):
        raise InvalidInput(
            "margin must be above 0, confidence between 0 and 1, alpha between 0 and 0.5; "
            f"got {margin}, {confidence} and {alpha}."
        )
    summaries = {name: summarize(values, confidence, name=name) for name, values in groups.items()}
    pairs = {name: _Pair(group, summaries[baseline]) for name, group in summaries.items() if name != baseline}
    return [
        Comparison(
            name=name,
            metric=metric,
            margin=margin,
            group=summaries[name],
            baseline=summaries[baseline],
            difference=pair.difference,
            welch=pair.interval(confidence),
            bootstrap=pair.bootstrap(confidence, derive_seed(seed, "bootstrap")),
            p_value=pair.p_value(margin, better_is_same),
            **pair.judge(margin, alpha, better_is_same),
            seeds=count_seeds_needed(pair.difference, pair.variances, margin, alpha, POWER, better_is_same)
            if pair.has_spread
            else None,
        )
        for name, pair in pairs.items()
    ]


def summarize(values: Sequence[float], confidence: float = 0.95, *, name: str = "") -> Summary:
    """Computes the mean over seeds and its t interval.

    Args:
        values: One value per seed.
        confidence: Confidence level of the interval.
        name: Name of the group, for messages.
    Raises:
        ValueError: If there are no values, or one is not finite.

    Example:
        >>> group = summarize([0.92, 0.93, 0.94])
        >>> round(group.mean, 3), [round(end, 4) for end in group.interval]
        (0.93, [0.9052, 0.9548])
    """
    numbers = tuple(map(float, values))
    if not numbers or not all(map(math.isfinite, numbers)):
        raise InvalidInput(f"The group {name!r} needs at least one value, and finite ones; got {list(numbers)}.")
    mean = statistics.fmean(numbers)
    if len(numbers) < 2:
        return Summary(numbers, mean, None)
    half = _t_quantile(confidence, len(numbers) - 1) * statistics.stdev(numbers) / len(numbers) ** 0.5
    return Summary(numbers, mean, (mean - half, mean + half))


def _t_quantile(confidence: float, freedom: float) -> float:
    """Half the width of a two-sided t interval, in standard errors."""
    from scipy.stats import t  # type: ignore[import-untyped, unused-ignore]

    return float(t.ppf((1 + confidence) / 2, freedom))


class _Pair:
    """A group and the baseline: interval, test and verdict of their difference."""

    def __init__(self, group: Summary, baseline: Summary) -> None:
        self._values = group.values, baseline.values
        self.difference = group.mean - baseline.mean
        self.single = min(map(len, self._values)) < 2
        # statistics.variance is exact: that of equal values is 0
        a, b = (0.0 if self.single else statistics.variance(values) for values in self._values)
        self.variances = a, b
        self.has_spread = max(self.variances) > 0

    def interval(self, confidence: float) -> Interval | None:
        """Computes Welch's t interval."""
        if not self.has_spread:
            return None
        error, freedom = welch_error(self.variances, (len(self._values[0]), len(self._values[1])))
        half = _t_quantile(confidence, freedom) * error
        return self.difference - half, self.difference + half

    def bootstrap(self, confidence: float, seed: int) -> Interval | None:
        """Computes the percentile bootstrap interval; the order of the values does not matter."""
        import numpy

        if self.single:
            return None
        generator = numpy.random.default_rng(seed)
        means = [generator.choice(sorted(values), (RESAMPLES, len(values))).mean(1) for values in self._values]
        tails = [(1 - confidence) / 2, (1 + confidence) / 2]
        low, high = numpy.quantile(means[0] - means[1], tails)
        return float(low), float(high)

    def judge(self, margin: float, alpha: float, better_is_same: bool) -> dict[str, Any]:
        """Decides the verdict and words its reason."""
        interval = self.interval(1 - 2 * alpha)
        if self.single:
            return _make_verdict("cannot tell", "One seed has no spread to judge by: run at least 2 in each group.")
        if interval is None:
            return _make_verdict("cannot tell", "Within each group all values are equal: are the seeds different?")
        low, high = interval
        subject = f"The {1 - 2 * alpha:.0%} interval of the difference, {low:+.3g} to {high:+.3g},"
        ceiling = math.inf if better_is_same else margin
        if -margin < low and high < ceiling:
            return _make_verdict("yes", f"{subject} is inside the margin of {margin:g}.")
        if low > ceiling or high < -margin:
            side = f"above {margin:+g}" if low > margin else f"below {-margin:g}"
            return _make_verdict("no", f"{subject} is outside the margin: {side}.")
        return _make_verdict("cannot tell", f"{subject} crosses the margin of {margin:g}.")

    def p_value(self, margin: float, better_is_same: bool) -> float | None:
        """Computes the larger p value of the two one-sided tests; with ``better_is_same`` that of the lower one."""
        from scipy.stats import t

        if not self.has_spread:
            return None
        error, freedom = welch_error(self.variances, (len(self._values[0]), len(self._values[1])))
        distance = margin + self.difference if better_is_same else margin - abs(self.difference)
        return float(t.sf(distance / error, freedom))


def _make_verdict(verdict: Verdict, reason: str) -> dict[str, Any]:
    return {"verdict": verdict, "reason": reason}
