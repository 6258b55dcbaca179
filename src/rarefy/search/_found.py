"""What a search saw, and what it concludes from it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from rarefy.evaluation import Comparison, Summary
from rarefy.reports import render_density

Verdict = Literal["yes", "no", "cannot tell"]


@dataclasses.dataclass(frozen=True)
class Trial:
    """One training.

    Args:
        density: Fraction of weights kept; 1 is dense.
        seed: Its seed.
        effort: Share of a full training, in (0, 1].
        accuracy: What it reached, a fraction in [0, 1].

    Example:
        >>> Trial(density=0.1, seed=17, effort=0.25, accuracy=0.91).density
        0.1
    """

    density: float
    seed: int
    effort: float
    accuracy: float


@dataclasses.dataclass(frozen=True)
class Step:
    """One density beside dense, both trained with the same effort.

    Args:
        density: The density.
        effort: Share of a full training.
        is_full: Whether this decides; else it only says where to look.
        tolerance: How much worse it may be: the margin in full trainings, more in short ones.
        passed: Whether the search counts it as dense enough.
        comparison: The two groups of accuracies, their difference, and the verdict on the margin.

    Example:
        >>> sorted(field.name for field in dataclasses.fields(Step))
        ['comparison', 'density', 'effort', 'is_full', 'passed', 'tolerance']
    """

    density: float
    effort: float
    is_full: bool
    tolerance: float
    passed: bool
    comparison: Comparison

    def __str__(self) -> str:
        """The step in a sentence, in points."""
        found, seeds = self.comparison, len(self.comparison.group.values)
        name = f"Density {self.density:g}" if self.is_full else f"Short runs at density {self.density:g}"
        said = (
            f"{name}: {_mean(found.group)} against dense {_mean(found.baseline)}, {_difference(found)}, {seeds} seeds: "
        )
        if not self.is_full:
            near = "near enough" if self.passed else "too far"
            return f"{said}{near} (tolerance {100 * self.tolerance:.2g})."
        return f"{said}{_OUTCOMES[found.verdict]}."


_OUTCOMES = {"yes": "within the margin", "no": "not within the margin", "cannot tell": "cannot tell"}


@dataclasses.dataclass(frozen=True)
class Found:
    """What `find_density` found.

    Args:
        density: The smallest density shown to be within the margin of dense; 1 where none was.
        verdict: ``"yes"``: it was; ``"no"``: none of those tried is within the margin; ``"cannot tell"``: none was
            shown to be, and with that many seeds nobody knows of at least one.
        margin: How much worse than dense does not matter, as a fraction.
        densities: The ladder, from dense to sparse.
        steps: The comparisons it rests on, in the order in which they were made.
        evidence: Every training, in the same order.

    Example:
        >>> Found(1.0, "no", 0.005, (0.5, 0.1), (), ()).explain()
        'None of the densities tried (0.5, 0.1) is within 0.5 points of dense: stay dense, or allow a larger margin.'
    """

    density: float
    verdict: Verdict
    margin: float
    densities: tuple[float, ...]
    steps: tuple[Step, ...]
    evidence: tuple[Trial, ...]

    def explain(self) -> str:
        """The answer and what it rests on, a sentence a line."""
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
    def full(self) -> tuple[Step, ...]:
        """The comparisons of full trainings, the densest first."""
        return tuple(sorted((step for step in self.steps if step.is_full), key=lambda step: -step.density))

    @property
    def short(self) -> tuple[Step, ...]:
        """The comparisons of short trainings, the densest first."""
        return tuple(sorted((step for step in self.steps if not step.is_full), key=lambda step: -step.density))

    @property
    def caveats(self) -> tuple[str, ...]:
        """What a reader of the answer has to know, a sentence each."""
        return tuple([*self._undecided(), *self._at_the_end(), *self._uneven()])

    def save(self, page: Path | str) -> list[Path]:
        """Writes the answer with its evidence as a page to look at, as CSV and as JSON; returns the files, it first."""
        return render_density(self.as_dict(), Path(page))

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain values, accuracies and margins as fractions."""
        own = {name: getattr(self, name) for name in ("density", "verdict", "margin", "answer")}
        steps = [dataclasses.asdict(step) for step in self.steps]
        trials = [dataclasses.asdict(trial) for trial in self.evidence]
        lists = {"densities": list(self.densities), "caveats": list(self.caveats), "steps": steps, "evidence": trials}
        return {**own, **lists}

    def _undecided(self) -> Iterator[str]:
        """Sparser densities of which nobody knows, and what would settle it."""
        for step in self.full:
            found = step.comparison
            if found.verdict != "cannot tell":
                continue
            name = f"Of density {step.density:g} ({_difference(found)}) {len(found.group.values)} seeds cannot tell"
            if found.welch is None:
                yield f"{name}: all seeds of it and of dense gave the same accuracy. Does the training use its seed?"
            elif found.seeds is None:
                yield f"{name}, and its difference is so near to the margin that no number of seeds would."
            else:
                yield f"{name}; about {found.seeds:,} would, in 4 of 5 cases."

    def _at_the_end(self) -> Iterator[str]:
        if self.verdict == "yes" and self.density == self.densities[-1]:
            yield "It is the smallest density tried; a smaller one may be within the margin, too."

    def _uneven(self) -> Iterator[str]:
        """Where fewer weights did clearly better, what was not tried may surprise."""
        for kind, steps in (("full", self.full), ("short", self.short)):
            for denser, sparser in itertools.pairwise(steps):
                if sparser.comparison.group.mean > denser.comparison.group.mean + self.margin:
                    yield (
                        f"Accuracy does not fall evenly with density: in {kind} runs {sparser.density:g} did better "
                        f"than {denser.density:g} by more than the margin. Densities not tried may surprise, too."
                    )


def _mean(summary: Summary) -> str:
    return f"{100 * summary.mean:.2f}%"


def _difference(found: Comparison) -> str:
    """In points, with its interval."""
    between = f" ({100 * found.welch[0]:+.2f} to {100 * found.welch[1]:+.2f})" if found.welch else ""
    return f"{100 * found.difference:+.2f} points{between}"


def concluded(
    rung: int, margin: float, densities: Sequence[float], steps: Sequence[Step], evidence: Sequence[Trial]
) -> Found:
    """The conclusion, given the last rung that passed; -1 is dense."""
    parts = (margin, tuple(densities), tuple(steps), tuple(evidence))
    if rung >= 0:
        return Found(densities[rung], "yes", *parts)
    unknown = any(step.is_full and step.comparison.verdict == "cannot tell" for step in steps)
    return Found(1.0, "cannot tell" if unknown else "no", *parts)
