"""Latency against a clock that the model moves; memory against sums by hand."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch
from torch import nn

from rarefy.evaluation.latency import Latency, measure_latency, measure_peak_memory


class Clocked(nn.Module):
    """Moves the clock by the next of some times, and notes in what mode it was called."""

    def __init__(self, times: Iterator[float]) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.now, self.calls, self.times = 100.0, 0, times

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.now += next(self.times)
        assert not self.training and not torch.is_grad_enabled()
        return self.layer(inputs)


def test_median_and_quartiles_of_the_rounds_after_the_warm_up(monkeypatch):
    model = Clocked(iter([50.0, 50.0, 5.0, 1.0, 2.0, 4.0, 9.0]))
    monkeypatch.setattr("time.perf_counter", lambda: model.now)
    assert measure_latency(model, torch.zeros(3, 1), rounds=5, warmup=2) == Latency(4.0, (2.0, 5.0), rounds=5)
    assert model.calls == 7


def test_one_round_is_its_own_median(monkeypatch):
    model = Clocked(iter([3.0]))
    monkeypatch.setattr("time.perf_counter", lambda: model.now)
    assert measure_latency(model, torch.zeros(3, 1), rounds=1, warmup=0) == Latency(3.0, (3.0, 3.0), rounds=1)


def test_more_work_takes_longer():
    small, large = (
        measure_latency(nn.Linear(size, size), torch.zeros(64, size), rounds=5).seconds for size in (8, 1024)
    )
    assert 0 < small < large


@pytest.mark.parametrize("options", [{"rounds": 0}, {"warmup": -1}])
def test_no_rounds_raise(options):
    with pytest.raises(ValueError, match="rounds must be at least 1 and warmup at least 0"):
        measure_latency(nn.Identity(), torch.zeros(1), **options)


@pytest.mark.parametrize("measure", [measure_latency, measure_peak_memory])
def test_the_model_is_left_alone(measure):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)).train()
    model[1].eval()
    model[0].weight.requires_grad_(False)
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    measure(model, torch.ones(2, 3, 8, 8))
    assert [module.training for module in model.modules()] == [True, True, False, True]
    assert [parameter.requires_grad for parameter in model.parameters()] == [False, True, True, True]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), state) and torch.is_grad_enabled()


FLOAT = 4
SIZES = [8, 100, 300, 20, 40, 1]


def chain(*between: nn.Module) -> nn.Module:
    """Linear layers, with something after each."""
    return nn.Sequential(*(module for i, o in pairwise(SIZES) for module in (nn.Linear(i, o), *between)))


@pytest.mark.parametrize("batch", [1, 7])
def test_a_chain_holds_two_activations_at_once(batch):
    # 8 -> 100 -> 300 -> 20 -> 40 -> 1; the first 8 are the input, which was there before.
    assert measure_peak_memory(chain(), torch.zeros(batch, 8)) == FLOAT * batch * (100 + 300)


def test_an_operation_writes_beside_what_it_reads_unless_it_is_in_place():
    inputs = torch.zeros(5, 8)
    assert measure_peak_memory(chain(nn.ReLU()), inputs) == FLOAT * 5 * (300 + 300)
    assert measure_peak_memory(chain(nn.ReLU(inplace=True)), inputs) == FLOAT * 5 * (100 + 300)


def test_a_skip_connection_is_held_until_it_is_added():
    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.wide, self.narrow = nn.Linear(8, 50), nn.Linear(50, 200), nn.Linear(200, 50)

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            skipped = self.first(inputs)
            return skipped + self.narrow(self.wide(skipped))

    assert measure_peak_memory(Skip(), torch.zeros(3, 8)) == FLOAT * 3 * (50 + 200 + 50)


def test_no_activation_is_kept_for_gradients_and_no_temporary_is_missed():
    class Deep(nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            for _ in range(9):
                inputs = inputs.exp()
            return inputs.square().sum(1)  # the square lives only inside of this line

    assert measure_peak_memory(Deep(), torch.zeros(3, 1000)) == FLOAT * 3 * (1000 + 1000 + 1)


def test_convolutions_by_hand_from_below():
    """Their temporaries depend on the processor; the widest pair of activations does not."""
    model = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1))
    assert measure_peak_memory(model, torch.zeros(2, 3, 8, 8)) >= FLOAT * 2 * 64 * (16 + 32)


def test_halves_take_half():
    assert measure_peak_memory(nn.ReLU(), torch.zeros(3, 100, dtype=torch.bfloat16)) == 2 * 3 * 100


def test_a_model_without_activations_needs_nothing():
    assert measure_peak_memory(nn.Flatten(), torch.zeros(3, 8, 8)) == 0


def test_it_says_the_same_twice_and_after_a_failure():
    model = chain()
    first = measure_peak_memory(model, torch.zeros(2, 8))

    class Fails(nn.Module):
        calls = 0

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            if self.calls == 2:  # the pass that is measured
                raise RuntimeError("out of luck")
            return inputs

    with pytest.raises(RuntimeError, match="out of luck"):
        measure_peak_memory(Fails(), torch.zeros(2, 8))
    assert measure_peak_memory(model, torch.zeros(2, 8)) == first


def test_other_devices_raise():
    with pytest.raises(ValueError, match="on a CPU or a CUDA device; the inputs are on meta"):
        measure_peak_memory(nn.ReLU(), torch.zeros(2, device="meta"))


@pytest.mark.gpu
def test_on_a_gpu_in_blocks_of_512_bytes():
    model, inputs = chain().to("cuda"), torch.zeros(128, 8, device="cuda")
    assert measure_peak_memory(model, inputs) == FLOAT * 128 * (100 + 300)
    assert measure_latency(model, inputs, rounds=3).seconds > 0
