"""A dense last phase: when it begins, that the weights are as they were, and what is said of the result."""

from __future__ import annotations

import copy
import functools

import pytest
import torch
from torch import nn

from rarefy.errors import InvalidInput
from rarefy.evaluation.cost import compute_cost
from rarefy.registry import UnknownOption
from rarefy.sparsity import load, save, sparsify
from rarefy.topology import TOPOLOGIES, UpdateStep, update

LATE = TOPOLOGIES.build("sparse_to_dense", dense_from=0.75)


def test_masks_stay_and_then_hold_everything(layer) -> None:
    sparse = layer([3.0, 0.0, 0.0, -4.0])
    assert update(LATE, [sparse], UpdateStep(74, 100, 17))["fc.weight"].tolist() == [True, False, False, True]
    assert update(LATE, [sparse], UpdateStep(75, 100, 17))["fc.weight"].all()
    assert [step for step in range(1, 101) if LATE.is_due(step, 100)] == [75]
    assert [step for step in range(1, 8) if LATE.is_due(step, 7)] == [6]  # 5.25: the first step after which it is past
    assert LATE.initial_density(0.05) == 0.05 and LATE.final_density(0.05) == 1.0


def test_phases_that_are_none_are_refused() -> None:
    for dense_from in (0, 1.0, 1.5):
        with pytest.raises(UnknownOption, match="dense_from"):
            TOPOLOGIES.build("sparse_to_dense", dense_from=dense_from)
    for steps in (3, None):
        with pytest.raises(InvalidInput):
            LATE.is_due(1, steps)


@pytest.fixture
def start(start_training):
    return lambda engine: start_training(
        engine, LATE, functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9), steps=16
    )


@pytest.mark.kernels
@pytest.mark.parametrize("engine", ["masked", "cpu"])
def test_it_trains_as_fixed_masks_do_until_the_dense_phase(engine: str, tmp_path, start, train_steps) -> None:
    model, sparsity, optimizer = start(engine)
    static = sparsify(copy.deepcopy(start("masked")[0]), density=0.25)
    assert sparsity.masks == static.masks and sparsity.final == {"0.weight": 192, "2.weight": 64}
    assert train_steps(model, sparsity, optimizer, range(1, 17)) == 12 * [64] + 4 * [256]
    weights = sparsity.dense_weights()
    assert sum(int(weight.count_nonzero()) for weight in weights.values()) > 128  # twice as many as before
    size = save(model, sparsity, tmp_path / "model.safetensors")
    again = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 4))
    assert load(again, tmp_path / "model.safetensors").density == 1 and size.file_bytes > size.dense_bytes
    assert torch.equal(again[0].weight, weights["0.weight"])


@pytest.mark.kernels
@pytest.mark.parametrize("engine", ["masked", "cpu"])
@pytest.mark.parametrize("stop", [5, 13])
def test_a_training_resumes_bit_for_bit_in_both_phases(engine: str, stop: int, start, check_resumes) -> None:
    check_resumes(lambda: start(engine), stop, 16)


def test_flops_are_those_of_both_phases() -> None:
    layer = nn.Linear(10, 100, bias=False)
    cost = compute_cost(
        layer, {"weight": layer.weight}, {"weight": 1000}, (10,), LATE, steps=20, initial={"weight": 200}
    )
    assert cost.training_kept == 3 * 2 * (15 * 200 + 5 * 1000) // 20
    assert cost.flops_kept == cost.flops_dense == 2000


def test_a_scaling_that_needs_fixed_counts_is_refused() -> None:
    with pytest.raises(InvalidInput) as error:
        sparsify(nn.Linear(8, 8), density=0.5, topology=LATE, scaling="supar")
    assert error.value.name == "scaling"
