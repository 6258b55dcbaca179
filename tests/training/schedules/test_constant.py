"""No schedule; the oracle is torch's ConstantLR at factor 1."""

from __future__ import annotations

import torch
from torch.optim.lr_scheduler import ConstantLR

from rarefy.training.schedules.constant import Constant


def test_it_is_torch_s_constant_schedule():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.25)
    schedule = ConstantLR(optimizer, factor=1.0)
    for step in range(12):
        assert 0.25 * Constant()(step, epochs=3, steps_per_epoch=4) == schedule.get_last_lr()[0]
        optimizer.step()
        schedule.step()
