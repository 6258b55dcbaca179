"""AC/DC: the authors' schedules, its masks by hand, and a training that goes through its phases under both engines."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import nn

from rarefy.errors import InvalidInput
from rarefy.evaluation.cost import compute_cost
from rarefy.registry import UnknownOption
from rarefy.sparsity import load, save
from rarefy.topology import TOPOLOGIES, UpdateStep, update

SHORT = TOPOLOGIES.build("acdc", warmup=0.2, phase=0.2, stop=0.6)
DENSE = [*range(1, 5), *range(9, 13)]  # of 20 steps, those that train all weights


def list_updates(topology, steps: int) -> list[int]:
    return [step for step in range(1, steps + 1) if topology.is_due(step, steps)]


def test_the_authors_schedules() -> None:
    # configs/neurips of their code: ImageNet prunes at epochs 10, 20, ..., 70 and 85, restores at 15, ..., 65 and 75;
    # CIFAR-100 prunes at 10, 50, 90, 130 and 170 of 200 epochs, and restores at 30, 70, 110 and 150.
    assert list_updates(TOPOLOGIES.build("acdc"), 100) == [*range(10, 76, 5), 85]
    cifar = TOPOLOGIES.build("acdc", warmup=0.05, phase=0.1)
    assert list_updates(cifar, 200) == list(range(10, 171, 20))


def test_a_sparse_phase_keeps_the_largest_of_all_and_a_dense_one_everything(layer) -> None:
    pruned = update(SHORT, [layer([3.0, -1.0, 0.5, -4.0], mask=[1, 1, 1, 1], final=2)], UpdateStep(4, 20, 17))
    assert pruned["fc.weight"].tolist() == [True, False, False, True]
    restored = update(SHORT, [layer([3.0, 0.0, 0.0, -4.0], final=2)], UpdateStep(8, 20, 17))
    assert restored["fc.weight"].all()
    assert SHORT.initial_density(0.05) == 1.0 and SHORT.needs == frozenset()


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"warmup": 0.9, "stop": 0.85}, "stop"),
        ({"stop": 1.0}, "stop"),
        ({"phase": 0}, "phase"),
        ({"warmup": 2}, "warmup"),
    ],
)
def test_phases_that_are_none_are_refused(options, name) -> None:
    with pytest.raises(UnknownOption, match=name):
        TOPOLOGIES.build("acdc", **options)


def test_trainings_without_a_step_for_a_phase_are_refused() -> None:
    for steps in (19, None):
        with pytest.raises(InvalidInput):
            TOPOLOGIES.build("acdc").is_due(1, steps)


@pytest.fixture
def start(start_training):
    return lambda engine: start_training(engine, SHORT, functools.partial(torch.optim.Adam, lr=0.01), steps=20)


@pytest.mark.kernels
def test_phases_are_the_same_under_both_engines_and_the_network_ends_sparse(tmp_path, start, train_steps) -> None:
    runs = {engine: start(engine) for engine in ("masked", "cpu")}
    kept = {engine: train_steps(*run, range(1, 21)) for engine, run in runs.items()}
    assert kept["masked"] == kept["cpu"] == [256 if step in DENSE else 64 for step in range(1, 21)]
    (model, sparsity, _), (_, sparse, _) = runs.values()
    assert sparsity.masks == sparse.masks and sparsity.kept == 64
    for name, weight in sparsity.dense_weights().items():
        torch.testing.assert_close(sparse.dense_weights()[name], weight)
    save(model, sparsity, tmp_path / "model.safetensors")
    again = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 4))
    assert load(again, tmp_path / "model.safetensors").kept == 64
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), model.parameters(), strict=True))


@pytest.mark.kernels
@pytest.mark.parametrize("engine", ["masked", "cpu"])
@pytest.mark.parametrize("stop", [2, 6, 10, 17])
def test_a_training_resumes_bit_for_bit_in_any_phase(engine: str, stop: int, start, check_resumes) -> None:
    check_resumes(lambda: start(engine), stop, 20)


def test_a_weight_that_comes_back_starts_at_zero_with_a_clean_state(start, train_steps) -> None:
    model, sparsity, optimizer = start("masked")
    train_steps(model, sparsity, optimizer, range(1, 8))
    before = sparsity.masks["0.weight"].clone()
    train_steps(model, sparsity, optimizer, range(8, 9))
    weight = model[0].weight
    assert sparsity.kept == 256 and not weight[~before].any()
    assert not optimizer.state[weight]["exp_avg"][~before].any() and optimizer.state[weight]["exp_avg"][before].any()


def test_flops_are_those_of_every_phase() -> None:
    layer = nn.Linear(10, 100, bias=False)
    cost = compute_cost(
        layer, {"weight": layer.weight}, {"weight": 200}, (10,), SHORT, steps=20, initial={"weight": 1000}
    )
    assert cost.training_kept == 3 * 2 * (8 * 1000 + 12 * 200) // 20
    assert cost.flops_kept == 2 * 200
