"""The masked engine: it changes nothing at all."""

from __future__ import annotations

import torch
from torch import nn

import rarefy
from rarefy.engines import use_engine
from rarefy.engines.masked import Masked


def test_modules_weights_and_outputs_stay_as_they_were():
    model = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))
    sparsity = rarefy.sparsify(model, density=0.5)
    modules, weights = list(model.modules()), [(p, p.detach().clone()) for p in model.parameters()]
    out = model(torch.ones(1, 6))
    plan = use_engine(model, sparsity, Masked())
    assert plan.layers == {"0.weight": "dense", "2.weight": "dense"}
    assert [m is n for m, n in zip(model.modules(), modules, strict=True)] == [True] * 4
    for parameter, (same, value) in zip(model.parameters(), weights, strict=True):
        assert parameter is same
        assert torch.equal(parameter, value)
    assert torch.equal(model(torch.ones(1, 6)), out)
