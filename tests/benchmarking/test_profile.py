"""Profiles of training steps add up to the step."""

from __future__ import annotations

import pytest
import torch

from rarefy import models, sparsify
from rarefy.benchmarking import profile
from rarefy.errors import InvalidInput

pytestmark = pytest.mark.kernels
TOLERANCE = 0.15  # of the step: what profiling may add


@pytest.fixture(scope="module")
def network():
    model = models.build(models.parse("cifar_resnet_8_16"), generator=torch.Generator().manual_seed(1))
    return model, sparsify(model, density=0.1, seed=17)


def test_parts_add_up_to_the_profiled_step(network):
    result = profile(*network, (3, 8, 8), batch=64, rounds=2)
    for parts in (result.kinds, result.layers):
        assert sum(part.milliseconds for part in parts) == pytest.approx(result.profiled_milliseconds, rel=1e-6)
        assert sum(part.share for part in parts) == pytest.approx(1, rel=1e-6)


@pytest.mark.slow  # the fastest of many steps, whatever else the machine does
def test_a_profiled_step_takes_as_long_as_an_ordinary_one(network):
    result = profile(*network, (3, 32, 32), batch=64, rounds=40)
    assert result.profiled_milliseconds == pytest.approx(result.milliseconds, rel=TOLERANCE)


def test_the_model_is_not_changed(network):
    model, sparsity = network
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    profile(model, sparsity, (3, 8, 8), batch=4, rounds=1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("numbers", [{"batch": 1}, {"rounds": 0}])
def test_what_cannot_be_profiled_is_an_error(network, numbers):
    with pytest.raises(InvalidInput):
        profile(*network, (3, 8, 8), **numbers)
