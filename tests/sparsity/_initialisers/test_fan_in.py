"""Weights of N(0, 2 / fan_in), by their moments."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rarefy.sparsity import sparsify


def test_kept_weights_have_the_variance_of_all_inputs() -> None:
    model = nn.Linear(200, 400)
    sparsity = sparsify(model, density=0.5, initialiser="fan_in")
    kept = model.weight.detach()[sparsity.masks["weight"]]
    assert float(kept.std()) == pytest.approx(0.1, rel=0.02) and abs(float(kept.mean())) < 0.002
    again = nn.Linear(200, 400)
    sparsify(again, density=0.5, initialiser="fan_in")
    assert torch.equal(again.weight, model.weight)  # a function of the seed
