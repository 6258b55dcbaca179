from __future__ import annotations

import pytest
import torch

from rarefy.topology import TOPOLOGIES, UpdateStep, update


def test_counts_follow_the_papers_cube_and_the_smallest_go(random_layer) -> None:
    gmp = TOPOLOGIES.build("gmp", interval=100, stop=0.5)
    size = torch.randperm(1000, generator=torch.Generator().manual_seed(0)).float() + 1
    weight = torch.where(size % 2 == 0, size, -size)
    mask, counts = torch.ones(1000, dtype=torch.bool), []
    for step in [step for step in range(1, 1001) if gmp.is_due(step, 1000)]:
        kept = random_layer((1000,), 1000, step, mask=mask, final=200)
        object.__setattr__(kept, "weight", weight * mask)
        mask = update(gmp, [kept], UpdateStep(step, 1000, 17))[kept.name]
        counts.append(int(mask.sum()))
        assert set(size[mask].tolist()) == set(range(1001 - counts[-1], 1001))
    # 200 + 800 * (1 - t / 500) ** 3
    assert counts == [610, 373, 251, 206, 200]


def test_it_starts_dense() -> None:
    gmp = TOPOLOGIES.build("gmp")
    assert gmp.initial_density(0.05) == 1.0 and gmp.needs == frozenset()


def test_a_training_that_would_never_prune_is_refused_at_its_first_step() -> None:
    with pytest.raises(ValueError, match="never be reached"):
        TOPOLOGIES.build("gmp").is_due(1, 100)
    with pytest.raises(ValueError, match="steps="):
        TOPOLOGIES.build("gmp").is_due(1, None)
    with pytest.raises(ValueError, match="stop is a fraction"):
        TOPOLOGIES.build("gmp", stop=0)
