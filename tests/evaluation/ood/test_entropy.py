from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from rarefy.evaluation import Predictions
from rarefy.evaluation.ood import SCORES


def test_agrees_with_scipy_and_the_uniform_case() -> None:
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    logits[0] = 0
    found = SCORES.build("entropy")(Predictions(logits, torch.zeros(5, dtype=torch.int64)))
    assert found[0].item() == pytest.approx(-math.log(4))
    assert found.tolist() == pytest.approx((-stats.entropy(logits.double().softmax(1).numpy(), axis=1)).tolist())
