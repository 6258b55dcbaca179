"""The model's own weights."""

from __future__ import annotations

import torch
from torch import nn

from rarefy.sparsity import sparsify


def test_kept_weights_stay_as_they_are() -> None:
    model = nn.Linear(20, 10)
    before = model.weight.detach().clone()
    sparsity = sparsify(model, density=0.3, initialiser="model")
    assert torch.equal(model.weight, before * sparsity.masks["weight"])
