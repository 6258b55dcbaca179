"""Every topology under every kind of Adam: masks hold, counts are exact, states are finite, and no weight outruns."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from rarefy.sparsity import sparsify
from rarefy.topology import TOPOLOGIES, HasCountSchedule

LR, INTERVAL, STEPS = 1e-3, 5, 40
OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "adam": lambda w: torch.optim.Adam(w, lr=LR),
    "amsgrad": lambda w: torch.optim.Adam(w, lr=LR, amsgrad=True, foreach=True),
    "adamw_fused": lambda w: torch.optim.AdamW(w, lr=LR, fused=True),
    "nadam": lambda w: torch.optim.NAdam(w, lr=LR),
    "radam": lambda w: torch.optim.RAdam(w, lr=LR),
    "adamax": lambda w: torch.optim.Adamax(w, lr=LR),
}
# How far a weight goes in a step at most, in learning rates; one that starts cold goes up to 4.8, under NAdam up to 17.
LIMITS = {"nadam": 3.0}


def build(name: str) -> Any:
    fields = {field.name for field in dataclasses.fields(TOPOLOGIES.get(name))}
    return TOPOLOGIES.build(name, **({"interval": INTERVAL} if "interval" in fields else {}))


@pytest.mark.parametrize("optimizer_name", OPTIMIZERS)
@pytest.mark.parametrize("name", TOPOLOGIES.names())
def test_a_topology_under_an_adam(name: str, optimizer_name: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(20, 16), nn.Tanh(), nn.Linear(16, 4))
    topology = build(name)
    sparsity = sparsify(model, density=0.3, topology=topology)
    optimizer = OPTIMIZERS[optimizer_name](model.parameters())
    sparsity.attach(optimizer, steps=STEPS)
    kept, total = sparsity.kept, sparsity.total
    for step in range(STEPS):
        before = {n: weight.detach().clone() for n, weight in sparsity.weights().items()}
        masks = {n: mask.clone() for n, mask in sparsity.masks.items()}
        inputs = torch.randn(8, 20, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        model(inputs).square().mean().backward()
        optimizer.step()
        for n, weight in sparsity.weights().items():
            stayed = masks[n] & sparsity.masks[n]
            assert not weight[~sparsity.masks[n]].any()
            assert (weight - before[n])[stayed].abs().max() <= LIMITS.get(optimizer_name, 1.5) * LR
            assert all(v.isfinite().all() for v in optimizer.state[weight].values())
    if not isinstance(topology, HasCountSchedule):
        assert sparsity.kept == kept
    assert sparsity.kept == (total if name == "sparse_to_dense" else round(0.3 * total))
