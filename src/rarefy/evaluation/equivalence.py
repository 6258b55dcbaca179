"""Is it the same? A test over seeds that "matches the baseline" holds, within a margin that the user names."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from rarefy.errors import InvalidInput
from rarefy.evaluation._power import seeds_needed, welch
from rarefy.registry import make_unknown_error
from rarefy.rng import derive_seed

Interval = tuple[float, float]
Verdict = Literal["yes", "no", "cannot tell"]
DRAWS = 10_000
POWER = 0.8  # how often a test with the number of seeds named should decide


@dataclasses.dataclass(frozen=True)
class Summary:
    """One group of runs that differ in the seed only.

    Args:
        values: One a seed.
        mean: Their mean.
        interval: Its t interval; None for one seed.

    Example:
        >>> Summary((0.91, 0.93), 0.92, None).mean
        0.92
    """

    values: tuple[float, ...]
    mean: float
    interval: Interval | None


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A group of runs against the baseline.

    Args:
        name: The group's.
        metric: What was measured.
        margin: How much of a difference does not matter, in the metric's unit.
        group: The group.
        baseline: What it is compared with.
        difference: Mean of the group minus mean of the baseline.
        welch: Welch's t interval of the difference; None where the spread is unknown.
        bootstrap: Percentile bootstrap interval of it; too narrow for few seeds. None for one seed.
        p_value: Of the test that the difference is inside the margin (the larger of the two one-sided ones).
        verdict: ``"yes"``, the two are the same within the margin (or the group is no worse, if that was asked);
            ``"no"``; or ``"cannot tell"``.
        reason: Why, in a sentence.
        seeds: Seeds a group with which a test would decide in 4 of 5 cases, were what is seen the truth; None where
            that is unknown, or over 100,000.

    Example:
        >>> compare({"dense": [0.92, 0.93], "sparse": [0.92]}, "dense", "accuracy", 0.01)[0].verdict
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


def compare(
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
    """Compares every group of runs with the baseline: differences, and two one-sided tests (TOST) of equivalence.

    "yes" if the ``1 - 2 alpha`` Welch interval of the difference lies inside the margin, which is what both one-sided
    tests at ``alpha`` say; "no" if it lies outside, above or below; else "cannot tell". Groups are independent samples:
    equal seeds are not paired. Nothing is corrected for the number of groups.

    Args:
        groups: Name to one value a seed, the baseline among them.
        baseline: Its name.
        metric: What the values are, for the result.
        margin: How much of a difference does not matter, above 0, in the values' unit (0.005: half a point).
        confidence: Of the intervals.
        alpha: How often a one-sided test may say "inside" of what is not; below 0.5.
        better_is_same: Whether any gain over the baseline counts as "yes". Larger values are then better ones, and of
            the two one-sided tests the lower one alone is left: that of non-inferiority.
        seed: Root seed of the bootstrap.
    Returns:
        One comparison for each group but the baseline, in the groups' order.
    Raises:
        ValueError: If a name is unknown, a group is empty or holds what is not finite, or an option is out of range.

    Example:
        >>> groups = {"dense": [0.921, 0.924, 0.922], "sparse": [0.921, 0.922, 0.923], "tiny": [0.902, 0.901, 0.904]}
        >>> for found in compare(groups, "dense", "accuracy", 0.005):
        ...     found.name, round(found.difference, 4), found.verdict
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
    summaries = {name: summary(values, confidence, name=name) for name, values in groups.items()}
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
            **pair.judged(margin, alpha, better_is_same),
            seeds=seeds_needed(pair.difference, pair.variances, margin, alpha, POWER, better_is_same)
            if pair.spread
            else None,
        )
        for name, pair in pairs.items()
    ]


def summary(values: Sequence[float], confidence: float = 0.95, *, name: str = "") -> Summary:
    """The mean over seeds and its t interval.

    Args:
        values: One a seed.
        confidence: Of the interval.
        name: What the group is called, for messages.
    Raises:
        ValueError: If there is no value, or one is not finite.

    Example:
        >>> found = summary([0.92, 0.93, 0.94])
        >>> round(found.mean, 3), [round(end, 4) for end in found.interval]
        (0.93, [0.9052, 0.9548])
    """
    numbers = tuple(map(float, values))
    if not numbers or not all(map(math.isfinite, numbers)):
        raise InvalidInput(f"The group {name!r} needs at least one value, and finite ones; got {list(numbers)}.")
    mean = statistics.fmean(numbers)
    if len(numbers) < 2:
        return Summary(numbers, mean, None)
    half = _quantile(confidence, len(numbers) - 1) * statistics.stdev(numbers) / len(numbers) ** 0.5
    return Summary(numbers, mean, (mean - half, mean + half))


def _quantile(confidence: float, freedom: float) -> float:
    """Half the width of a two-sided t interval, in standard errors."""
    from scipy.stats import t  # type: ignore[import-untyped, unused-ignore]

    return float(t.ppf((1 + confidence) / 2, freedom))


class _Pair:
    """Two groups; what is asked of their difference."""

    def __init__(self, group: Summary, baseline: Summary) -> None:
        self._samples = group.values, baseline.values
        self.difference = group.mean - baseline.mean
        self.single = min(map(len, self._samples)) < 2
        # statistics' variance is exact: equal values have none at all
        a, b = (0.0 if self.single else statistics.variance(sample) for sample in self._samples)
        self.variances = a, b
        self.spread = max(self.variances) > 0

    def interval(self, confidence: float) -> Interval | None:
        """Welch's t interval."""
        if not self.spread:
            return None
        error, freedom = welch(self.variances, (len(self._samples[0]), len(self._samples[1])))
        half = _quantile(confidence, freedom) * error
        return self.difference - half, self.difference + half

    def bootstrap(self, confidence: float, seed: int) -> Interval | None:
        """Percentile interval of the difference of means of resampled groups; the order of values does not matter."""
        import numpy

        if self.single:
            return None
        generator = numpy.random.default_rng(seed)
        means = [generator.choice(sorted(sample), (DRAWS, len(sample))).mean(1) for sample in self._samples]
        tails = [(1 - confidence) / 2, (1 + confidence) / 2]
        low, high = numpy.quantile(means[0] - means[1], tails)
        return float(low), float(high)

    def judged(self, margin: float, alpha: float, better_is_same: bool) -> dict[str, Any]:
        """Verdict and reason."""
        interval = self.interval(1 - 2 * alpha)
        if self.single:
            return _says("cannot tell", "One seed has no spread to judge by: run at least 2 in each group.")
        if interval is None:
            return _says("cannot tell", "Within each group all values are equal: are the seeds different?")
        low, high = interval
        where = f"The {1 - 2 * alpha:.0%} interval of the difference, {low:+.3g} to {high:+.3g},"
        ceiling = math.inf if better_is_same else margin
        if -margin < low and high < ceiling:
            return _says("yes", f"{where} is inside the margin of {margin:g}.")
        if low > ceiling or high < -margin:
            side = f"above {margin:+g}" if low > margin else f"below {-margin:g}"
            return _says("no", f"{where} is outside the margin: {side}.")
        return _says("cannot tell", f"{where} crosses the margin of {margin:g}.")

    def p_value(self, margin: float, better_is_same: bool) -> float | None:
        """The larger one of both one-sided tests, or the lower one's."""
        from scipy.stats import t

        if not self.spread:
            return None
        error, freedom = welch(self.variances, (len(self._samples[0]), len(self._samples[1])))
        room = margin + self.difference if better_is_same else margin - abs(self.difference)
        return float(t.sf(room / error, freedom))


def _says(verdict: Verdict, reason: str) -> dict[str, Any]:
    return {"verdict": verdict, "reason": reason}
