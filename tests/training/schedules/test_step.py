"""The paper's step schedule against torch's MultiStepLR and the paper's own table."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.optim.lr_scheduler import MultiStepLR

from rarefy.training.schedules.step import Step


def torch_s(milestones: list[int], gamma: float, epochs: int) -> list[float]:
    """Factor of each epoch."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = MultiStepLR(optimizer, milestones, gamma)
    factors = []
    for _ in range(epochs):
        factors.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return factors


def ours(schedule: Step, epochs: int, steps: int = 1) -> list[float]:
    return [schedule(step, epochs, steps) for step in range(epochs * steps)]


@pytest.mark.parametrize(
    ("epochs", "fractions", "milestones"),
    [
        (160, (0.5, 0.75), [80, 120]),  # the paper's CIFAR runs
        (320, (0.5, 0.75), [160, 240]),  # the same with --multiplier 2
        (100, (0.3, 0.6, 0.9), [30, 60, 90]),  # the paper's sparse ImageNet runs
        (90, (1 / 3, 2 / 3, 8 / 9), [30, 60, 80]),  # its dense ones
        (2, (0.5, 0.75), [1, 1]),
        (5, (0.5, 0.75), [2, 3]),
        (10, (), []),
    ],
)
@pytest.mark.parametrize("gamma", [0.1, 0.2])
def test_it_is_torch_s_multi_step_schedule(epochs, fractions, milestones, gamma):
    expected = torch_s(milestones, gamma, epochs)
    assert ours(Step(fractions, gamma), epochs) == pytest.approx(expected, rel=1e-12)


def test_every_step_of_an_epoch_has_the_epoch_s_factor():
    per_epoch = ours(Step(), 8)
    assert ours(Step(), 8, steps=3) == [factor for factor in per_epoch for _ in range(3)]


def test_defaults_are_the_paper_s():
    assert Step() == Step(milestones=(0.5, 0.75), gamma=0.1)


@example((100, 29))
@settings(max_examples=50)
@given(st.integers(1, 400).flatmap(lambda epochs: st.tuples(st.just(epochs), st.integers(1, epochs))))
def test_a_fraction_that_means_a_whole_epoch_drops_at_that_epoch(case):
    """0.29 of 100 epochs is epoch 29, although 0.29 * 100 is 28.999999999999996 in floating point."""
    epochs, drop = case
    factors = ours(Step(milestones=(drop / epochs,)), epochs)
    assert factors == [1.0] * drop + [0.1] * (epochs - drop)


def test_the_first_epoch_has_the_full_rate_however_short_the_run():
    assert Step()(step=0, epochs=1, steps_per_epoch=10) == 1
