"""Random predictions."""

from __future__ import annotations

import pytest
import torch

from rarefy.evaluation import Predictions


@pytest.fixture(params=[(1, 2), (7, 3), (500, 10), (64, 100)], ids=lambda shape: f"{shape[0]}x{shape[1]}")
def predictions(request: pytest.FixtureRequest) -> Predictions:
    count, classes = request.param
    generator = torch.Generator().manual_seed(17)
    labels = torch.randint(classes, (count,), generator=generator)
    logits = 3 * torch.randn(count, classes, generator=generator)
    logits[: count // 2, :] += 4 * torch.eye(classes)[labels[: count // 2]]
    return Predictions(logits, labels)
