"""Synchronised batch norms in evaluation mode, against the torch modules that they replace."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from rarefy.distributed import World
from rarefy.training import sync_batch_norms

KINDS = [(nn.BatchNorm1d, (5,)), (nn.BatchNorm2d, (4, 4)), (nn.BatchNorm3d, (2, 3, 2))]


@pytest.mark.parametrize(("kind", "sizes"), KINDS, ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.parametrize(("affine", "tracks"), list(itertools.product([True, False], repeat=2)))
def test_evaluation_parameters_and_names_are_those_of_the_replaced_norm(kind, sizes, affine, tracks) -> None:
    torch.manual_seed(5)
    own = kind(3, affine=affine, track_running_stats=tracks)
    own(torch.randn(6, 3, *sizes))
    own.eval()
    model = nn.Sequential(own)
    inputs = torch.randn(4, 3, *sizes)
    expected, names, parameters = model(inputs), list(model.state_dict()), list(model.parameters())
    sync_batch_norms(model, World(rank=0, ranks=2))
    assert model[0] is not own
    assert torch.equal(model(inputs), expected)
    assert list(model.state_dict()) == names
    assert [id(parameter) for parameter in model.parameters()] == [id(parameter) for parameter in parameters]
