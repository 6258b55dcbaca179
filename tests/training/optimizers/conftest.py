"""A short optimisation, to compare one optimizer with another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

Make = Callable[[list[dict[str, Any]]], torch.optim.Optimizer]


@pytest.fixture
def path() -> Callable[[Make], torch.Tensor]:
    """Where five steps lead on f(x) = sum(k * x_k^2), one half of x with weight decay and the other without."""

    def walk(make: Make) -> torch.Tensor:
        halves = [torch.nn.Parameter(torch.linspace(-1, 2, 3, dtype=torch.float64)) for _ in range(2)]
        optimizer = make([{"params": halves[:1], "weight_decay": 0.3}, {"params": halves[1:], "weight_decay": 0.0}])
        for _ in range(5):
            optimizer.zero_grad()
            sum(((k + 1) * x.square()).sum() for k, x in enumerate(halves)).backward()
            optimizer.step()
        return torch.cat([half.detach() for half in halves])

    return walk
