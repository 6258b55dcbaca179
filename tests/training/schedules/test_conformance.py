"""What every schedule promises: a pure, finite factor in [0, 1] of the step's number, 1 at the start."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rarefy.training import SCHEDULES


@pytest.mark.parametrize("name", SCHEDULES.names())
@settings(max_examples=30)
@given(epochs=st.integers(2, 200), steps=st.integers(1, 50), place=st.floats(0, 1, exclude_max=True))
def test_a_factor_is_a_pure_function_of_the_step(name, epochs, steps, place):
    step = int(place * epochs * steps)
    factor = SCHEDULES.build(name)(step, epochs, steps)
    assert isinstance(factor, float)
    assert math.isfinite(factor)
    assert 0 <= factor <= 1
    assert SCHEDULES.build(name)(step=step, epochs=epochs, steps_per_epoch=steps) == factor
    assert SCHEDULES.build(name)(0, epochs, steps) == 1.0
    assert factor >= SCHEDULES.build(name)(min(step + 1, epochs * steps - 1), epochs, steps), "it never rises"
