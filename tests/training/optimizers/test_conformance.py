"""What every optimizer rule promises: a torch optimizer over the groups it got, at the rate it got."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rarefy.training import OPTIMIZERS


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_groups_and_rate_arrive_as_they_were(name):
    model = nn.Linear(3, 2)
    groups = [{"params": [model.weight], "weight_decay": 0.25}, {"params": [model.bias], "weight_decay": 0.0}]
    optimizer = OPTIMIZERS.build(name)(groups, 0.125)
    assert isinstance(optimizer, torch.optim.Optimizer)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.25, 0.0]
    assert [group["lr"] for group in optimizer.param_groups] == [0.125, 0.125]
    assert [
        p is q for group, p in zip(optimizer.param_groups, model.parameters(), strict=True) for q in group["params"]
    ]


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_it_goes_downhill(name):
    x = nn.Parameter(torch.tensor([3.0]))
    optimizer = OPTIMIZERS.build(name)([{"params": [x], "weight_decay": 0.0}], 0.05)
    for _ in range(20):
        optimizer.zero_grad()
        x.square().sum().backward()
        optimizer.step()
    assert x.abs().item() < 3
