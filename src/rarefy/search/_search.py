"""Search algorithm: short trainings choose where to start, full ones decide; independent of how models are trained."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rarefy.search._bisection import bisect, count_max_tests, exponential_search
from rarefy.search._result import SearchResult, SearchStep, Trial, build_result
from rarefy.statistics import Comparison, compare_groups

ALPHA = 0.05  # of the one-sided test; its confidence interval has level 1 - 2 ALPHA
SHORT_SEEDS = 2  # seeds of short trainings
_TOLERANCE_FACTOR = 2.0  # short trainings may lose this many margins plus standard errors


class TrialSpec(NamedTuple):
    """Density, seed and effort of one training.

    Example:
        >>> TrialSpec(density=0.1, seed=17, effort=1.0).seed
        17
    """

    density: float
    seed: int
    effort: float


Measure = Callable[[Sequence[TrialSpec]], Sequence[float]]
"""Trains some trials, in any order or in parallel, and returns their accuracies."""


@dataclasses.dataclass(frozen=True)
class Budget:
    """Largest number of trainings of a search.

    Args:
        short: Number of short trainings.
        full: Number of full trainings.
        short_effort: Effort of a short training, as a fraction of a full one.

    Example:
        >>> Budget(short=10, full=24, short_effort=0.25).effort
        26.5
    """

    short: int
    full: int
    short_effort: float

    @property
    def effort(self) -> float:
        """Total effort, in full trainings."""
        return self.short * self.short_effort + self.full


def compute_budget(densities: Sequence[float], seeds: Sequence[int], short: float) -> Budget:
    """Computes the largest number of trainings of `search`, dense ones included.

    Example:
        >>> compute_budget((0.5, 0.25, 0.12), (17, 18, 19), 0.25)
        Budget(short=6, full=12, short_effort=0.25)
    """
    bisected, searched = count_max_tests(len(densities))
    return Budget(SHORT_SEEDS * (1 + bisected), len(seeds) * (1 + searched), short)


def search(
    measure: Measure,
    densities: Sequence[float],
    *,
    margin: float,
    seeds: Sequence[int],
    short: float,
    notice: Callable[[SearchStep], None] = lambda step: None,
) -> SearchResult:
    """Finds the smallest density within the margin of dense.

    Args:
        measure: Trains some trials and returns their accuracies.
        densities: Candidate densities, in decreasing order.
        margin: Largest acceptable loss of accuracy, a fraction.
        seeds: Seeds of full trainings; short ones use the first two.
        short: Effort of short trainings.
        notice: Called with every comparison as it is made.
    """
    comparer = _Comparer(measure, margin, notice)
    start = bisect(
        -1, len(densities), lambda index: comparer.passes_short(densities[index], short, seeds[:SHORT_SEEDS])
    )
    last = exponential_search(
        max(start, 0), len(densities), lambda index: comparer.passes_full(densities[index], seeds)
    )
    return build_result(last, margin, densities, comparer.steps, comparer.trials)


class _Comparer:
    """Compares densities with dense and caches the accuracies."""

    def __init__(self, measure: Measure, margin: float, notice: Callable[[SearchStep], None]) -> None:
        self._measure, self._margin, self._notice = measure, margin, notice
        self._accuracies: dict[TrialSpec, float] = {}
        self.steps: list[SearchStep] = []

    @property
    def trials(self) -> list[Trial]:
        return [Trial(*spec, accuracy) for spec, accuracy in self._accuracies.items()]

    def passes_short(self, density: float, effort: float, seeds: Sequence[int]) -> bool:
        """Whether the mean of short trainings is near enough to dense's to start from this density."""
        comparison = self._compare(density, effort, seeds)
        tolerance = _TOLERANCE_FACTOR * (self._margin + self._standard_error(comparison))
        return self._add_step(
            SearchStep(density, effort, False, tolerance, comparison.difference >= -tolerance, comparison)
        )

    def passes_full(self, density: float, seeds: Sequence[int]) -> bool:
        """Whether the density is within the margin, by a one-sided Welch t test of non-inferiority."""
        comparison = self._compare(density, 1.0, seeds)
        return self._add_step(SearchStep(density, 1.0, True, self._margin, comparison.verdict == "yes", comparison))

    def _add_step(self, step: SearchStep) -> bool:
        self.steps.append(step)
        self._notice(step)
        return step.passed

    def _compare(self, density: float, effort: float, seeds: Sequence[int]) -> Comparison:
        """Compares a density with dense; missing trials of both are trained in one call."""
        specs = [TrialSpec(value, seed, effort) for value in (1.0, density) for seed in seeds]
        missing = [spec for spec in specs if spec not in self._accuracies]
        self._accuracies.update(zip(missing, self._measure(missing), strict=True))
        dense, sparse = ([self._accuracies[s] for s in specs if s.density == value] for value in (1.0, density))
        name, options = f"{density:g}", {"confidence": 1 - 2 * ALPHA, "alpha": ALPHA, "better_is_same": True}
        return compare_groups({"dense": dense, name: sparse}, "dense", "accuracy", self._margin, **options)[0]  # type: ignore[arg-type]

    def _standard_error(self, comparison: Comparison) -> float:
        """Standard error of the difference of means, with the variance pooled over dense and the passed steps."""
        groups = [comparison.baseline, *(step.comparison.group for step in self.steps if step.passed)]
        variance = statistics.fmean(statistics.variance(group.values) for group in groups)
        return math.sqrt(2 * variance / len(comparison.group.values))
