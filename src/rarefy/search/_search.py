"""The search: short trainings say where to look, full ones decide. It knows nothing of how a training is done."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rarefy.evaluation import Comparison, compare
from rarefy.search._found import Found, Step, Trial, concluded
from rarefy.search._walk import gallop, most_looks, narrow

ALPHA = 0.05  # of the one-sided test; its interval, which all intervals here are, is at 1 - 2 alpha
SCOUTS = 2  # seeds of short trainings
_GENEROUS = 2.0  # margins, and standard errors, that a density may be worse by in short trainings


class Point(NamedTuple):
    """A training that is wanted.

    Example:
        >>> Point(density=0.1, seed=17, effort=1.0).seed
        17
    """

    density: float
    seed: int
    effort: float


Measure = Callable[[Sequence[Point]], Sequence[float]]
"""Trains at some points, in any order or at once, and gives their accuracies."""


@dataclasses.dataclass(frozen=True)
class Budget:
    """How many trainings a search takes at most.

    Args:
        short: Short ones.
        full: Full ones.
        share: What a short one takes of a full one.

    Example:
        >>> Budget(short=10, full=24, share=0.25).effort
        26.5
    """

    short: int
    full: int
    share: float

    @property
    def effort(self) -> float:
        """All of them, in full trainings."""
        return self.short * self.share + self.full


def budget(densities: Sequence[float], seeds: Sequence[int], short: float) -> Budget:
    """The most trainings that `search` asks for, dense ones included.

    Example:
        >>> budget((0.5, 0.25, 0.12), (17, 18, 19), 0.25)
        Budget(short=6, full=12, share=0.25)
    """
    narrowed, galloped = most_looks(len(densities))
    return Budget(SCOUTS * (1 + narrowed), len(seeds) * (1 + galloped), short)


def search(
    measure: Measure,
    densities: Sequence[float],
    *,
    margin: float,
    seeds: Sequence[int],
    short: float,
    notice: Callable[[Step], None] = lambda step: None,
) -> Found:
    """Looks for the smallest density within the margin of dense.

    Args:
        measure: Trains.
        densities: The ladder, from dense to sparse.
        margin: How much worse does not matter, a fraction.
        seeds: Of full trainings; the first two are those of short ones.
        short: Effort of short trainings.
        notice: Called with every comparison as it is made.
    """
    looker = _Looker(measure, margin, notice)
    scouted = narrow(-1, len(densities), lambda rung: looker.scout(densities[rung], short, seeds[:SCOUTS]))
    last = gallop(max(scouted, 0), len(densities), lambda rung: looker.judge(densities[rung], seeds))
    return concluded(last, margin, densities, looker.steps, looker.trials)


class _Looker:
    """Compares densities with dense, and remembers."""

    def __init__(self, measure: Measure, margin: float, notice: Callable[[Step], None]) -> None:
        self._measure, self._margin, self._notice = measure, margin, notice
        self._known: dict[Point, float] = {}
        self.steps: list[Step] = []

    @property
    def trials(self) -> list[Trial]:
        return [Trial(*point, accuracy) for point, accuracy in self._known.items()]

    def scout(self, density: float, effort: float, seeds: Sequence[int]) -> bool:
        """Whether the answer may be this sparse: its mean is not far below dense's, for what can be known of it."""
        found = self._compared(density, effort, seeds)
        tolerance = _GENEROUS * (self._margin + self._error(found))
        return self._note(Step(density, effort, False, tolerance, found.difference >= -tolerance, found))

    def judge(self, density: float, seeds: Sequence[int]) -> bool:
        """Whether it is within the margin: one-sided, Welch's t test of non-inferiority."""
        found = self._compared(density, 1.0, seeds)
        return self._note(Step(density, 1.0, True, self._margin, found.verdict == "yes", found))

    def _note(self, step: Step) -> bool:
        self.steps.append(step)
        self._notice(step)
        return step.passed

    def _compared(self, density: float, effort: float, seeds: Sequence[int]) -> Comparison:
        """The density beside dense; what is missing of both is trained in one go."""
        wanted = [Point(each, seed, effort) for each in (1.0, density) for seed in seeds]
        missing = [point for point in wanted if point not in self._known]
        self._known.update(zip(missing, self._measure(missing), strict=True))
        dense, sparse = ([self._known[p] for p in wanted if p.density == each] for each in (1.0, density))
        name, options = f"{density:g}", {"confidence": 1 - 2 * ALPHA, "alpha": ALPHA, "better_is_same": True}
        return compare({"dense": dense, name: sparse}, "dense", "accuracy", self._margin, **options)[0]  # type: ignore[arg-type]

    def _error(self, found: Comparison) -> float:
        """Of the difference of two means; two seeds know little of their spread, so dense and what passed share one."""
        groups = [found.baseline, *(step.comparison.group for step in self.steps if step.passed)]
        variance = statistics.fmean(statistics.variance(group.values) for group in groups)
        return math.sqrt(2 * variance / len(found.group.values))
