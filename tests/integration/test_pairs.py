"""Every topology with every allocation: counts are exact at every update."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from rarefy.allocation import ALLOCATIONS
from rarefy.sparsity import sparsify
from rarefy.topology import TOPOLOGIES

STEPS, INTERVAL, DENSITY = 24, 3, 0.3
SCHEDULED = ("acdc", "gmp", "granet", "sparse_to_dense")  # their counts change
PHASES = {"acdc": {"warmup": 0.2, "phase": 0.2, "stop": 0.8}}


def _allocation(name: str) -> object:
    return {"2": 0.5} if name == "custom" else name


@pytest.mark.parametrize("allocation", [name for name in ALLOCATIONS.names() if name != "dense"])
@pytest.mark.parametrize("topology", TOPOLOGIES.names())
def test_pair(topology: str, allocation: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(12, 10), nn.ReLU(), nn.Linear(10, 40), nn.ReLU(), nn.Linear(40, 4))
    generator = torch.Generator().manual_seed(1)
    inputs, labels = torch.randn(64, 12, generator=generator), torch.arange(64) % 4
    has_interval = "interval" in {field.name for field in dataclasses.fields(TOPOLOGIES.get(topology))}
    options = {"interval": INTERVAL} if has_interval else PHASES.get(topology, {})
    built = TOPOLOGIES.build(topology, **options)
    rule = _allocation(allocation)
    sparsity = sparsify(model, density=DENSITY, allocation=rule, topology=built, sample=(inputs, labels))  # type: ignore[arg-type]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    sparsity.attach(optimizer, steps=STEPS)
    final = sparsity.total if topology == "sparse_to_dense" else round(DENSITY * sparsity.total)
    for step in range(1, STEPS + 1):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
        nonzero = {name: int(weight.count_nonzero()) for name, weight in sparsity.weights().items()}
        assert all(nonzero[name] <= kept for name, kept in sparsity.masks.counts().items()), step
        if topology not in SCHEDULED:
            assert sparsity.kept == final, step
        if topology not in (*SCHEDULED, "snfs"):
            assert sparsity.masks.counts() == sparsity.final, step
    assert sparsity.kept == final == sum(sparsity.final.values())
    assert min(sparsity.masks.counts().values()) >= 1
