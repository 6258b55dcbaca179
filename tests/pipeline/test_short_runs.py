"""Which runs are too short to measure engines."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import rarefy
from rarefy.config import Config
from rarefy.engines import ENGINES
from rarefy.pipeline import _short_runs, run
from rarefy.pipeline._short_runs import REASON, choose_engine


@pytest.fixture
def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 5))


@pytest.mark.parametrize("share", [0.99, 1.01])
def test_flops_are_torch_s_count_for_the_whole_training(network, monkeypatch, share) -> None:
    """A training is short just below torch's count, and not just above it."""
    inputs, images = torch.ones(4, 3, 8, 8), 40
    with FlopCounterMode(display=False) as forward:
        network(inputs)
    monkeypatch.setattr(_short_runs, "SHORT_TRAINING", share * 3 * forward.get_total_flops() * images / len(inputs))
    auto, sparsity = ENGINES.build("auto"), rarefy.sparsify(network, density=0.2)
    chosen = choose_engine(auto, network, sparsity, inputs, images)
    assert (chosen is auto) == (share < 1)
    if share > 1:
        plan = chosen(network, sparsity, inputs)
        assert (set(plan.layers.values()), plan.reason) == ({"dense"}, REASON)


@pytest.mark.parametrize("name", ["cpu", "masked"])
def test_an_engine_that_was_asked_for_is_taken(network, name) -> None:
    engine = ENGINES.build(name)
    assert choose_engine(engine, network, rarefy.sparsify(network, density=0.2), torch.ones(4, 3, 8, 8), 1) is engine


def test_the_record_says_why_a_short_run_was_not_measured(tiny_run, tmp_path) -> None:
    values = {name: tiny_run[name] for name in ("data", "model")}
    record = run(Config.from_values({**values, "density": 0.2, "training": {"epochs": 1}}), out=tmp_path)
    assert (record.engine["engine"], record.engine["reason"]) == ("auto", REASON)
