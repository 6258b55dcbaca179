"""The cosine schedule against torch's CosineAnnealingLR, which gets there by recursion."""

from __future__ import annotations

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR

from rarefy.training.schedules.cosine import Cosine


@pytest.mark.parametrize(("epochs", "steps"), [(1, 1), (2, 2), (5, 7), (160, 1)])
@pytest.mark.parametrize("floor", [0.0, 0.1])
def test_it_is_torch_s_annealing(epochs, steps, floor):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = CosineAnnealingLR(optimizer, T_max=epochs * steps, eta_min=floor)
    for step in range(epochs * steps):
        assert Cosine(floor)(step, epochs, steps) == pytest.approx(schedule.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        schedule.step()


def test_beginning_middle_and_end():
    assert Cosine()(0, 10, 10) == 1.0
    assert Cosine()(50, 10, 10) == pytest.approx(0.5)
    assert Cosine(0.2)(100, 10, 10) == pytest.approx(0.2)
