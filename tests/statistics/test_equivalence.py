"""Statistics over seeds against scipy's, by hand and by simulation."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence

import numpy
import pytest
from scipy.stats import bootstrap, t, ttest_1samp, ttest_ind

from rarefy.statistics import Comparison, compare_groups

DENSE = (92.31, 92.74, 92.52, 92.60, 92.11)
SPARSE = (92.20, 92.45, 92.71)


def one(group: Sequence[float], baseline: Sequence[float] = DENSE, margin: float = 0.5, **options: float) -> Comparison:
    (found,) = compare_groups({"dense": baseline, "sparse": group}, "dense", "accuracy", margin, **options)  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_intervals_are_scipy_s(confidence: float) -> None:
    found = one(SPARSE, confidence=confidence)
    assert found.difference == pytest.approx(numpy.mean(SPARSE) - numpy.mean(DENSE))
    expected = ttest_ind(SPARSE, DENSE, equal_var=False).confidence_interval(confidence)
    assert found.welch == pytest.approx((expected.low, expected.high))
    for summary, values in ((found.group, SPARSE), (found.baseline, DENSE)):
        interval = ttest_1samp(values, 0).confidence_interval(confidence)
        assert summary.interval == pytest.approx((interval.low, interval.high))
        assert (summary.values, summary.mean) == (values, pytest.approx(numpy.mean(values)))


def test_bootstrap_is_scipy_s_but_for_chance() -> None:
    generator = numpy.random.default_rng(0)
    a, b = generator.normal(0, 1, 12), generator.normal(1, 2, 9)
    found = one(a, b)
    means = bootstrap((a, b), lambda x, y, axis: x.mean(axis) - y.mean(axis), method="percentile", rng=generator)
    assert found.bootstrap == pytest.approx(tuple(means.confidence_interval), abs=0.1)
    assert one(a[::-1], b).bootstrap == found.bootstrap
    assert one(a, b, seed=1).bootstrap != found.bootstrap


@pytest.mark.parametrize("shift", [-3.0, -0.4, 0.0, 0.2, 0.45, 1.0])
@pytest.mark.parametrize("margin", [0.3, 0.5, 2.0])
def test_two_one_sided_tests_are_scipy_s(shift: float, margin: float) -> None:
    group = [value + shift for value in SPARSE]
    found = one(group, margin=margin)
    lower = ttest_ind([v + margin for v in group], DENSE, equal_var=False, alternative="greater").pvalue
    upper = ttest_ind([v - margin for v in group], DENSE, equal_var=False, alternative="less").pvalue
    assert found.p_value == pytest.approx(max(lower, upper))
    assert (found.verdict == "yes") == (max(lower, upper) < 0.05)
    # and "no" is what a one-sided test says of the far side
    assert (found.verdict == "no") == (min(1 - lower, 1 - upper) < 0.05)


def test_by_hand() -> None:
    """Variances 1 and 1, 3 values each: error sqrt(2/3), 4 degrees of freedom, t(.95) = 2.1318."""
    half = 2.131846786 * math.sqrt(2 / 3)
    group, baseline = (1.0, 2.0, 3.0), (1.0, 2.0, 3.0)
    assert one(group, baseline, half + 1e-6).verdict == "yes"
    assert one(group, baseline, half - 1e-6).verdict == "cannot tell"
    assert one((4.0, 5.0, 6.0), baseline, 3 - half - 1e-6).verdict == "no"
    assert "above" in one((4.0, 5.0, 6.0), baseline, 3 - half - 1e-6).reason
    assert "below" in one((-2.0, -1.0, 0.0), baseline, 3 - half - 1e-6).reason
    assert one((4.0, 5.0, 6.0), baseline, 3 - half + 1e-6).verdict == "cannot tell"


@pytest.mark.parametrize(("group", "baseline"), [((92.0,), DENSE), (DENSE, (92.0,)), ((92.0,), (92.0,))])
def test_one_seed_cannot_tell(group: tuple[float, ...], baseline: tuple[float, ...]) -> None:
    found = one(group, baseline)
    assert (found.verdict, found.welch, found.bootstrap, found.p_value, found.seeds) == ("cannot tell", *[None] * 4)
    assert found.reason.startswith("One seed")


def test_no_spread_cannot_tell() -> None:
    found = one((0.1, 0.1, 0.1), (0.1, 0.1, 0.1))
    assert (found.verdict, found.welch, found.seeds) == ("cannot tell", None, None)
    assert found.reason.startswith("Within each group")
    assert one((0.1, 0.1, 0.1), (0.1, 0.2)).welch is not None  # one spread is enough


def decided(difference: float, spreads: tuple[float, float], seeds: int, margin: float) -> float:
    """How often TOST says "yes" (or the test of the far side "no"), by simulation."""
    generator = numpy.random.default_rng(0)
    a = generator.normal(difference, spreads[0], (20_000, seeds))
    b = generator.normal(0, spreads[1], (20_000, seeds))
    x, y = a.var(1, ddof=1) / seeds, b.var(1, ddof=1) / seeds
    half = t.ppf(0.95, (x + y) ** 2 * (seeds - 1) / (x**2 + y**2)) * numpy.sqrt(x + y)
    low, high = a.mean(1) - b.mean(1) - half, a.mean(1) - b.mean(1) + half
    inside, outside = (low > -margin) & (high < margin), (low > margin) | (high < -margin)
    return float((inside if abs(difference) < margin else outside).mean())


@pytest.mark.parametrize("difference", [0.0, 0.2, -0.2, 0.9, -0.9])
def test_seeds_are_enough_by_simulation(difference: float) -> None:
    """Groups whose mean and spread are exactly these."""
    found = one((difference - 0.3, difference, difference + 0.3), (-0.4, 0.0, 0.4), margin=0.5)
    assert found.seeds is not None
    assert decided(difference, (0.3, 0.4), found.seeds, 0.5) > 0.79
    assert decided(difference, (0.3, 0.4), found.seeds - 1, 0.5) < 0.81


def test_seeds_where_none_or_few_are_enough() -> None:
    assert one((0.0, 1.0, 2.0), (-1.0, 0.0, 1.0), margin=1.0).seeds is None  # right on the margin
    assert one((0.0, 1e-6), (0.0, 1e-6), margin=1.0).seeds == 2
    assert one((0.0, 1e-200), (0.0, 1e-200), margin=1.0).verdict == "cannot tell"


def test_groups_keep_their_order_and_become_json() -> None:
    found = compare_groups({"b": SPARSE, "dense": DENSE, "a": SPARSE}, "dense", "accuracy", 0.5)
    assert [comparison.name for comparison in found] == ["b", "a"]
    assert found[0].bootstrap == found[1].bootstrap
    assert {(comparison.metric, comparison.margin) for comparison in found} == {("accuracy", 0.5)}
    assert json.loads(json.dumps(dataclasses.asdict(found[0]), allow_nan=False))["verdict"] == found[0].verdict
    assert compare_groups({"dense": DENSE}, "dense", "accuracy", 0.5) == []


@pytest.mark.parametrize(
    ("groups", "baseline", "options", "message"),
    [
        ({"dense": DENSE}, "dens", {}, "Did you mean 'dense'"),
        ({"dense": DENSE, "a": []}, "dense", {}, "'a' needs at least one"),
        ({"dense": DENSE, "a": [math.nan]}, "dense", {}, "finite"),
        ({"dense": DENSE}, "dense", {"margin": 0.0}, "margin"),
        ({"dense": DENSE}, "dense", {"alpha": 0.5}, "alpha"),
        ({"dense": DENSE}, "dense", {"confidence": 1.0}, "confidence"),
    ],
)
def test_what_cannot_be_compared(groups: dict, baseline: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compare_groups(groups, baseline, "accuracy", **{"margin": 0.5} | options)


@pytest.mark.parametrize("shift", [-3.0, -0.4, 0.0, 0.45, 3.0])
def test_better_is_same_leaves_the_lower_test_alone(shift: float) -> None:
    group = [value + shift for value in SPARSE]
    found = one(group, better_is_same=True)
    p_value = ttest_ind([v + 0.5 for v in group], DENSE, equal_var=False, alternative="greater").pvalue
    assert found.p_value == pytest.approx(p_value)
    assert found.verdict == ("yes" if p_value < 0.05 else "no" if p_value > 0.95 else "cannot tell")
    assert one([value + 3.0 for value in SPARSE]).verdict == "no"  # where it is not, a gain is a difference


@pytest.mark.parametrize("difference", [0.0, -0.2, 1.5, -0.9])
def test_seeds_for_not_worse_are_enough_by_simulation(difference: float) -> None:
    found = one((difference - 0.3, difference, difference + 0.3), (-0.4, 0.0, 0.4), margin=0.5, better_is_same=True)
    assert found.seeds is not None
    generator = numpy.random.default_rng(0)
    for seeds, least, most in ((found.seeds, 0.77, 1.0), (found.seeds - 1, 0.0, 0.81)):
        if seeds < 2:
            continue
        a, b = (generator.normal(m, s, (20_000, seeds)) for m, s in ((difference, 0.3), (0.0, 0.4)))
        side = "greater" if difference > -0.5 else "less"
        decided = (ttest_ind(a + 0.5, b, axis=1, equal_var=False, alternative=side).pvalue < 0.05).mean()
        assert least < decided <= most
