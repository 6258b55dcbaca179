"""Schedules against the papers' formulas, computed by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rarefy.topology import SCHEDULES
from rarefy.topology._update_schedule import Cubic, UpdateSchedule, compute_drop_count


def timing(schedule: str = "cosine", fraction: float = 0.3, interval: int = 100, stop: float = 0.75) -> UpdateSchedule:
    return UpdateSchedule(fraction, interval, stop, SCHEDULES.build(schedule))


@pytest.mark.parametrize(
    ("schedule", "step", "expected"),
    [
        ("cosine", 0, 0.3),  # alpha / 2 * (1 + cos(pi * t / T_end)), T_end = 750
        ("cosine", 250, 0.225),  # cos(60 degrees) = 1/2
        ("cosine", 375, 0.15),
        ("cosine", 500, 0.075),  # cos(120 degrees) = -1/2
        ("cosine", 750, 0.0),
        ("linear", 250, 0.2),
        ("linear", 750, 0.0),
        ("constant", 700, 0.3),
    ],
)
def test_fraction_by_hand(schedule: str, step: int, expected: float) -> None:
    assert timing(schedule).compute_fraction(step, 1000) == pytest.approx(expected, abs=1e-12)


def test_masks_move_every_interval_and_stop_before_the_stop() -> None:
    due = [step for step in range(1, 1001) if timing(interval=250).is_due(step, 1000)]
    assert due == [250, 500]  # 750 is T_end itself


@pytest.mark.parametrize(("schedule", "stop"), [("cosine", 1.0), ("linear", 1.0), ("constant", 0.75)])
def test_unknown_number_of_steps_is_an_error_that_says_what_to_do(schedule: str, stop: float) -> None:
    with pytest.raises(ValueError, match=r"pass `steps=` to `attach`"):
        timing(schedule, stop=stop).is_due(1, None)


def test_a_constant_schedule_to_the_end_needs_no_number_of_steps() -> None:
    forever = timing("constant", stop=1.0)
    assert forever.is_due(100_000, None) and not forever.is_due(100_001, None)
    assert forever.compute_fraction(100_000, None) == 0.3


@pytest.mark.parametrize(
    "values", [{"fraction": 0.0}, {"fraction": 1.0}, {"interval": 0}, {"stop": 0.0}, {"stop": 1.5}]
)
def test_values_out_of_range(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(values))} is .*got {next(iter(values.values()))}"):
        timing(**values)


def test_cubic_by_hand() -> None:
    # 200 + 800 * (1 - t / 500) ** 3: 609.6, 372.8, 251.2, 206.4, 200
    counts = [Cubic(100, 0.5).count(1000, 200, step, 1000) for step in (100, 200, 300, 400, 500)]
    assert counts == [610, 373, 251, 206, 200]


@pytest.mark.parametrize(
    ("interval", "stop", "steps", "last"), [(100, 0.75, 1000, 700), (7, 1.0, 50, 49), (1, 0.29, 100, 29)]
)
def test_the_last_update_reaches_the_final_count(interval: int, stop: float, steps: int, last: int) -> None:
    cubic = Cubic(interval, stop)
    assert cubic.compute_last_step(steps) == last
    assert cubic.count(1000, 10, last, steps) == 10 < cubic.count(1000, 10, last // 2, steps)


def test_a_schedule_that_would_never_prune_is_an_error() -> None:
    with pytest.raises(ValueError, match="never be reached"):
        Cubic(100, 0.5).compute_last_step(150)
    with pytest.raises(ValueError, match=r"pass `steps=` to `attach`"):
        Cubic(100, 0.5).compute_last_step(None)


@given(st.floats(0.0, 1.0), st.integers(0, 10**7))
def test_a_portion_is_never_all(fraction: float, kept: int) -> None:
    assert 0 <= compute_drop_count(fraction, kept) <= max(0, kept - 1)


def test_a_portion_is_rounded_down_but_not_by_floating_point() -> None:
    assert [compute_drop_count(0.3, kept) for kept in (1, 3, 4, 10, 19)] == [0, 0, 1, 3, 5]
    assert compute_drop_count(0.29, 100) == 29 != int(0.29 * 100)
