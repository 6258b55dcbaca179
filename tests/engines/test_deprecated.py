"""The names of earlier releases work and warn."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import rarefy
from rarefy.engines import make_dense_copy


def test_install_and_remove_warn_and_do_what_they_did() -> None:
    model = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
    sparsity = rarefy.sparsify(model, density=0.5)
    dense = make_dense_copy(model)
    with pytest.warns(DeprecationWarning, match="use_engine"):
        plan = rarefy.engines.install(model, sparsity, "cpu", torch.ones(2, 8))
    assert plan.sparse
    assert sum(values.numel() for values in sparsity.weights().values()) == sparsity.kept
    with pytest.warns(DeprecationWarning, match="use_dense"):
        rarefy.engines.remove(model, sparsity)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), dense.parameters(), strict=True))
