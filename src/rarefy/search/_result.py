"""Result of a search: the verdict, the comparisons and the trainings behind it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from rarefy.reports import render_density
from rarefy.statistics import Comparison, Summary

Verdict = Literal["yes", "no", "cannot tell"]


@dataclasses.dataclass(frozen=True)
class Trial:
    """One training.

    Args:
        density: Fraction of weights kept; 1 is dense.
        seed: The seed.
        effort: Fraction of a full training, in (0, 1].
        accuracy: Its accuracy, a fraction in [0, 1].

    Example:
        >>> Trial(density=0.1, seed=17, effort=0.25, accuracy=0.91).density
        0.1
    """

    density: float
    seed: int
    effort: float
    accuracy: float


@dataclasses.dataclass(frozen=True)
class SearchStep:
    """Comparison of one density with dense, both trained with the same effort.

    Args:
        density: The density.
        effort: Fraction of a full training.
        is_full: Whether these are full trainings, which decide; short ones only choose where to start.
        tolerance: Largest acceptable loss of accuracy: the margin for full trainings, more for short ones.
        passed: Whether the loss is within the tolerance.
        comparison: Both groups of accuracies, their difference and the verdict.

    """

    density: float
    effort: float
    is_full: bool
    tolerance: float
    passed: bool
    comparison: Comparison

    def __str__(self) -> str:
        """The comparison as a sentence, in percentage points."""
        comparison, seeds = self.comparison, len(self.comparison.group.values)
        name = f"Density {self.density:g}" if self.is_full else f"Short runs at density {self.density:g}"
        means = f"{_format_mean(comparison.group)} against dense {_format_mean(comparison.baseline)}"
        text = f"{name}: {means}, {_format_difference(comparison)}, {seeds} seeds: "
        if not self.is_full:
            near = "near enough" if self.passed else "too far"
            return f"{text}{near} (tolerance {100 * self.tolerance:.2g})."
        return f"{text}{_OUTCOMES[comparison.verdict]}."


_OUTCOMES = {"yes": "within the margin", "no": "not within the margin", "cannot tell": "cannot tell"}


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """Result of `find_density`.

    Args:
        density: The smallest density shown to be within the margin of dense; 1 if there is none.
        verdict: ``"yes"``: `density` is within the margin; ``"no"``: all tried densities are outside it;
            ``"cannot tell"``: none was shown to be within it, and for at least one the seeds do not suffice.
        margin: Largest acceptable loss of accuracy, as a fraction.
        densities: The candidate densities, in decreasing order.
        steps: The comparisons, in the order in which they were made.
        evidence: All trainings, in the same order.

    Example:
        >>> SearchResult(1.0, "no", 0.005, (0.5, 0.1), (), ()).explain()
        'None of the densities tried (0.5, 0.1) is within 0.5 points of dense: stay dense, or allow a larger margin.'
    """

    density: float
    verdict: Verdict
    margin: float
    densities: tuple[float, ...]
    steps: tuple[SearchStep, ...]
    evidence: tuple[Trial, ...]

    def explain(self) -> str:
        """Returns the answer, the caveats and the comparisons, one sentence per line."""
        return "\n".join([self.answer, *self.caveats, *map(str, self.steps)])

    @property
    def answer(self) -> str:
        """The conclusion in a sentence."""
        points = "1 point" if self.margin == 0.01 else f"{100 * self.margin:g} points"
        tried = ", ".join(f"{step.density:g}" for step in self.full) or ", ".join(map("{:g}".format, self.densities))
        if self.verdict == "yes":
            return f"Density {self.density:g} is within {points} of dense."
        if self.verdict == "no":
            return (
                f"None of the densities tried ({tried}) is within {points} of dense: stay dense, or allow a larger "
                "margin."
            )
        return f"No density was shown to be within {points} of dense (tried: {tried}), but some may be."

    @property
    def full(self) -> tuple[SearchStep, ...]:
        """Comparisons of full trainings, densest first."""
        return tuple(sorted((step for step in self.steps if step.is_full), key=lambda step: -step.density))

    @property
    def short(self) -> tuple[SearchStep, ...]:
        """Comparisons of short trainings, densest first."""
        return tuple(sorted((step for step in self.steps if not step.is_full), key=lambda step: -step.density))

    @property
    def caveats(self) -> tuple[str, ...]:
        """Limitations of the answer, one sentence each."""
        return tuple([*self._explain_undecided(), *self._explain_smallest(), *self._explain_nonmonotone()])

    def save(self, page: Path | str) -> list[Path]:
        """Writes the result as an HTML page, CSV and JSON; returns the files, the page first."""
        return render_density(self.as_dict(), Path(page))

    def as_dict(self) -> dict[str, Any]:
        """Returns the result as plain values; accuracies and margins are fractions."""
        values = {name: getattr(self, name) for name in ("density", "verdict", "margin", "answer")}
        steps = [dataclasses.asdict(step) for step in self.steps]
        trials = [dataclasses.asdict(trial) for trial in self.evidence]
        lists = {"densities": list(self.densities), "caveats": list(self.caveats), "steps": steps, "evidence": trials}
        return {**values, **lists}

    def _explain_undecided(self) -> Iterator[str]:
        """Yields a sentence per undecided density, with the number of seeds that would decide."""
        for step in self.full:
            comparison = step.comparison
            if comparison.verdict != "cannot tell":
                continue
            name = (
                f"{len(comparison.group.values)} seeds cannot decide density {step.density:g} "
                f"({_format_difference(comparison)})"
            )
            if comparison.welch is None:
                yield f"{name}: all seeds of it and of dense gave the same accuracy. Does the training use its seed?"
            elif comparison.seeds is None:
                yield f"{name}, and its difference is so close to the margin that no number of seeds would."
            else:
                yield f"{name}; about {comparison.seeds:,} would, in 4 of 5 cases."

    def _explain_smallest(self) -> Iterator[str]:
        if self.verdict == "yes" and self.density == self.densities[-1]:
            yield "It is the smallest density tried; a smaller one may also be within the margin."

    def _explain_nonmonotone(self) -> Iterator[str]:
        """Yields a sentence per sparser density with clearly higher accuracy than a denser one."""
        for kind, steps in (("full", self.full), ("short", self.short)):
            for denser, sparser in itertools.pairwise(steps):
                if sparser.comparison.group.mean > denser.comparison.group.mean + self.margin:
                    yield (
                        f"Accuracy does not fall monotonically with density: in {kind} runs {sparser.density:g} did "
                        f"better than {denser.density:g} by more than the margin. So may densities that were not tried."
                    )


def _format_mean(summary: Summary) -> str:
    return f"{100 * summary.mean:.2f}%"


def _format_difference(comparison: Comparison) -> str:
    """Formats the difference and its interval in percentage points."""
    interval = f" ({100 * comparison.welch[0]:+.2f} to {100 * comparison.welch[1]:+.2f})" if comparison.welch else ""
    return f"{100 * comparison.difference:+.2f} points{interval}"


def build_result(
    index: int, margin: float, densities: Sequence[float], steps: Sequence[SearchStep], evidence: Sequence[Trial]
) -> SearchResult:
    """Builds the result from the index of the last density that passed; -1 is dense."""
    evidence_fields = (margin, tuple(densities), tuple(steps), tuple(evidence))
    if index >= 0:
        return SearchResult(densities[index], "yes", *evidence_fields)
    is_undecided = any(step.is_full and step.comparison.verdict == "cannot tell" for step in steps)
    return SearchResult(1.0, "cannot tell" if is_undecided else "no", *evidence_fields)
