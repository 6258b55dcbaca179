"""The search against trainings whose answer is known."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from scipy.stats import ttest_ind

from rarefy.search import SearchError, SearchResult, compute_budget, find_density, spaced_densities

DENSITIES = spaced_densities()
SEEDS = (17, 18, 19)
Train = Callable[[float, int, float], float]


def chance(density: float, seed: int, effort: float, size: float) -> float:
    return random.Random(f"{density} {seed} {effort}").gauss(0, size)


def falling(knee: float, size: float = 0.0005, dense: float = 0.9) -> Train:
    """Dense accuracy down to a density, then 3 points less with every halving; short trainings reach less."""

    def train(density: float, seed: int, effort: float) -> float:
        lost = 0.03 * max(0.0, math.log2(knee / density))
        return dense * effort**0.1 - lost + chance(density, seed, effort, size)

    return train


def counted(train: Train) -> tuple[Train, list[tuple[float, int, float]]]:
    calls: list[tuple[float, int, float]] = []

    def noted(*point: float) -> float:
        calls.append(point)  # type: ignore[arg-type]
        return train(*point)  # type: ignore[arg-type]

    return noted, calls


@pytest.mark.parametrize("knee", [0.5, 0.25, 0.13, 0.063, 0.022, 0.016])
def test_a_known_answer_is_found(knee: float) -> None:
    train, calls = counted(falling(knee))
    found = find_density(train, margin=0.005)
    assert (found.density, found.verdict) == (knee, "yes")  # one rung sparser costs 1.5 points
    assert len(calls) == len(found.evidence) == len(set(calls))
    most = compute_budget(DENSITIES, SEEDS, 0.25)
    assert sum(effort < 1 for *_, effort in calls) <= most.short
    assert sum(effort == 1 for *_, effort in calls) <= most.full
    assert {seed for *_, seed, effort in calls if effort == 1} == set(SEEDS)
    assert {seed for *_, seed, effort in calls if effort < 1} == {17, 18}


def test_verdicts_are_scipy_s() -> None:
    found = find_density(falling(0.1, size=0.004), margin=0.01)
    for step in found.full:
        of = {d: [t.accuracy for t in found.evidence if (t.density, t.effort) == (d, 1)] for d in (1.0, step.density)}
        shifted = [accuracy + 0.01 for accuracy in of[step.density]]
        p_value = ttest_ind(shifted, of[1.0], equal_var=False, alternative="greater").pvalue
        assert step.passed == (p_value < 0.05)
        assert step.comparison.p_value == pytest.approx(p_value)
        assert step.comparison.verdict == ("yes" if p_value < 0.05 else "no" if p_value > 0.95 else "cannot tell")


def test_the_answer_is_the_same_when_asked_again() -> None:
    train = falling(0.1, size=0.01)
    assert find_density(train) == find_density(train)


def test_everything_matches() -> None:
    found = find_density(falling(0.0001))
    assert (found.density, found.verdict) == (0.01, "yes")
    assert "smallest density tried" in found.explain()


def test_fewer_weights_that_do_better_match() -> None:
    found = find_density(lambda d, s, e: 0.9 - 0.1 * d + chance(d, s, e, 0.001), densities=[0.5, 0.1])
    assert (found.density, found.verdict) == (0.1, "yes")


def test_nothing_matches() -> None:
    found = find_density(lambda d, s, e: (0.9 if d == 1 else 0.5) + chance(d, s, e, 0.001))
    assert (found.density, found.verdict) == (1.0, "no")
    assert "stay dense" in found.answer
    assert [step.density for step in found.full] == [0.5]


def test_too_much_noise_is_said_and_how_many_seeds_would_do() -> None:
    found = find_density(falling(0.03, size=0.01))
    assert (found.density, found.verdict) == (1.0, "cannot tell")
    assert any("would, in 4 of 5 cases" in caveat for caveat in found.caveats)
    more = find_density(falling(0.03, size=0.01), seeds=range(60))
    assert more.verdict == "yes"
    assert 0.02 < more.density < 0.07


def test_a_noisy_training_is_seldom_wrong() -> None:
    """Of 60 searches with little power, few may find what is truly outside the margin (by half a point or more)."""
    wrong = 0
    for number in range(60):
        train = falling(0.088, size=0.004)
        found = find_density(lambda d, s, e, t=train, n=number: t(d, s + 1000 * n, e), margin=0.01)
        wrong += found.density < 0.088
    assert wrong <= 8


def test_an_uneven_curve_is_reported_and_the_answer_was_itself_trained() -> None:
    def dip(density: float, seed: int, effort: float) -> float:
        return (0.8 if 0.05 < density < 0.2 else 0.9) + chance(density, seed, effort, 0.0005)

    found = find_density(dip)
    full = {step.density: step for step in found.full}
    assert found.verdict == "yes"
    assert full[found.density].comparison.verdict == "yes"

    def odd(density: float, seed: int, effort: float) -> float:
        return {1.0: 0.9, 0.5: 0.85, 0.2: 0.87, 0.1: 0.8}[density] + chance(density, seed, effort, 0.0005)

    found = find_density(odd, densities=[0.5, 0.2, 0.1], short=1.0)
    assert found.verdict == "no"
    assert any("does not fall monotonically" in caveat for caveat in found.caveats)


def test_short_trainings_as_long_as_full_ones_are_used_twice() -> None:
    train, calls = counted(falling(0.1))
    found = find_density(train, short=1.0)
    assert found.density == 0.13
    assert len(calls) == len(set(calls))
    assert [step.is_full for step in found.steps] == sorted(step.is_full for step in found.steps)


def test_a_training_without_chance_cannot_be_judged() -> None:
    found = find_density(lambda d, s, e: 0.9)
    assert found.verdict == "cannot tell"
    assert "use its seed" in found.explain()


def test_what_the_training_raises_passes_with_a_note() -> None:
    def broken(density: float, seed: int, effort: float) -> float:
        raise KeyError("no such data")

    with pytest.raises(KeyError) as caught:
        find_density(broken)
    assert "train_fn(density=1, seed=17, effort=0.25)" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (97.2, r"is a fraction in \[0, 1\]. If that is percent, return 0.972"),
        (-0.1, r"is a fraction in \[0, 1\].$"),
        (float("nan"), "that training diverged"),
        (None, "returned None; it has to return an accuracy"),
        ("high", "returned 'high'"),
    ],
)
def test_what_is_no_accuracy_is_told(returned: object, said: str) -> None:
    with pytest.raises(SearchError, match=said) as caught:
        find_density(lambda d, s, e: returned)  # type: ignore[arg-type, return-value]
    assert str(caught.value).startswith("train_fn(density=")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"margin": 0.5}, "for 0.5 points write 0.005"),
        ({"margin": 0.0}, "above 0"),
        ({"margin": math.nan}, "above 0"),
        ({"seeds": [17]}, "at least 2 different seeds"),
        ({"seeds": [17, 17]}, "at least 2 different seeds"),
        ({"short": 0.0}, "fraction of a full training"),
        ({"densities": [0.5, 10]}, "between 0 and 1"),
    ],
)
def test_arguments_are_checked_before_anything_is_trained(options: dict[str, object], said: str) -> None:
    train, calls = counted(falling(0.1))
    with pytest.raises(ValueError, match=said):
        find_density(train, **options)  # type: ignore[arg-type]
    assert calls == []


def test_the_evidence_is_a_page_and_json(tmp_path: Path) -> None:
    found: SearchResult = find_density(falling(0.1), margin=0.01)
    page, *others = found.save(tmp_path / "found.html")
    text = page.read_text()
    assert found.answer in text
    assert text.count("<figure id=") == 2
    assert not re.search(r"""(src|href)=.http""", text)
    assert [path.relative_to(tmp_path).as_posix() for path in others] == [
        "found/evidence.csv",
        "found/steps.csv",
        "found.json",
    ]
    values = json.loads((tmp_path / "found.json").read_text())
    assert values["density"] == found.density
    assert len(values["evidence"]) == len(found.evidence)
    assert len((tmp_path / "found" / "steps.csv").read_text().splitlines()) == 1 + len(found.steps)
