"""A weight that grows steps like the first weight of a new optimizer: the oracle is a new optimizer."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import rarefy
from rarefy.sparsity import Sparsity, sparsify
from rarefy.topology import TOPOLOGIES

Make = Callable[[Any], torch.optim.Optimizer]
LR = 1e-2
INTERVAL = 20


def adam(weights: Any, **options: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(weights, lr=LR, **options)


OPTIMIZERS: dict[str, Make] = {
    "adam": adam,
    "adam_l2": lambda w: adam(w, weight_decay=0.1),
    "adam_foreach": lambda w: adam(w, foreach=True),
    "adam_fused": lambda w: adam(w, fused=True),
    "adam_tensor_rate": lambda w: torch.optim.Adam(w, lr=torch.tensor(LR, dtype=torch.float64)),
    "adam_maximize": lambda w: adam(w, maximize=True),
    "amsgrad": lambda w: adam(w, amsgrad=True),
    "amsgrad_fused": lambda w: adam(w, amsgrad=True, fused=True),
    "adamw": lambda w: torch.optim.AdamW(w, lr=LR, weight_decay=0.1),
    "adamw_fused": lambda w: torch.optim.AdamW(w, lr=LR, weight_decay=0.1, fused=True),
    "adamax": lambda w: torch.optim.Adamax(w, lr=LR, weight_decay=0.1),
    "nadam": lambda w: torch.optim.NAdam(w, lr=LR, weight_decay=0.1),
    "nadamw_maximize": lambda w: torch.optim.NAdam(
        w, lr=LR, weight_decay=0.1, decoupled_weight_decay=True, maximize=True
    ),
    "radam": lambda w: torch.optim.RAdam(w, lr=LR),
    "radamw": lambda w: torch.optim.RAdam(w, lr=LR, weight_decay=0.1, decoupled_weight_decay=True),
}


def setting(make: Make, topology: str = "set", dtype: torch.dtype = torch.float64) -> tuple[nn.Linear, Sparsity, Any]:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = nn.Linear(20, 10, bias=False).to(dtype)
    moves = TOPOLOGIES.build(topology, interval=INTERVAL, fraction=0.1)
    sparsity = sparsify(model, density=0.25, topology=moves)
    optimizer = make(model.parameters())
    sparsity.attach(optimizer, steps=2000)
    return model, sparsity, optimizer


def gradient_at(step: int, scale: float, dtype: torch.dtype = torch.float64) -> Tensor:
    return scale * torch.randn(10, 20, generator=torch.Generator().manual_seed(step), dtype=dtype)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_grown_weight_steps_as_under_a_new_optimizer(name: str) -> None:
    model, sparsity, optimizer = setting(OPTIMIZERS[name])
    scale = 0.05  # RAdam's first steps are as large as the gradient, and bounded where that is large
    born = 3 * INTERVAL
    for step in range(1, born + 1):
        before = sparsity.masks["weight"].clone()
        model.weight.grad = gradient_at(step, scale)
        optimizer.step()
    grown = sparsity.masks["weight"] & ~before
    assert grown.any()
    twin = nn.Parameter(torch.zeros(10, 20, dtype=torch.float64))
    oracle = OPTIMIZERS[name]([twin])
    for step in range(born + 1, born + INTERVAL):
        model.weight.grad, twin.grad = gradient_at(step, scale), gradient_at(step, scale)
        optimizer.step()
        oracle.step()
        rtol = 1e-6 if "nadam" in name else 1e-9  # torch keeps NAdam's product in single precision
        torch.testing.assert_close(model.weight[grown], twin[grown], rtol=rtol, atol=1e-12)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_no_age_outruns_the_old(name: str, scale: float) -> None:
    """Under a steady gradient, from the first step on and over several births, for gradients of any size."""
    model, sparsity, optimizer = setting(OPTIMIZERS[name])
    optimizer.param_groups[0]["weight_decay"] = 0.0
    steady = gradient_at(0, 1.0).sign() * scale
    old, compared = sparsity.masks["weight"].clone(), 0
    for step in range(1, 8 * INTERVAL):
        before, mask = model.weight.detach().clone(), sparsity.masks["weight"].clone()
        model.weight.grad = steady.clone()
        optimizer.step()
        moved = (model.weight.detach() - before).abs()
        stayed = sparsity.masks["weight"] & mask
        old &= stayed
        young = stayed & ~old
        if step > 2 * INTERVAL and young.any() and old.any():  # NAdam's own first steps are short
            compared += 1
            assert moved[young].max() <= 1.1 * moved[old].max(), step
    assert compared > INTERVAL


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_precisions(dtype: torch.dtype) -> None:
    model, sparsity, optimizer = setting(adam, dtype=dtype)
    steady = torch.ones(10, 20, dtype=dtype)
    for _ in range(3 * INTERVAL):
        mask = sparsity.masks["weight"].clone()
        model.weight.grad = steady.clone()
        optimizer.step()
    grown = sparsity.masks["weight"] & ~mask
    model.weight.grad = steady.clone()
    optimizer.step()
    torch.testing.assert_close(model.weight[grown], torch.full_like(model.weight[grown], -LR), rtol=1e-2, atol=0)


def test_a_step_that_leaves_the_weight_out_does_not_count() -> None:
    model, sparsity, optimizer = setting(adam)
    twin = nn.Parameter(torch.zeros(10, 20, dtype=torch.float64))
    oracle = adam([twin])
    for step in range(1, INTERVAL + 1):
        mask = sparsity.masks["weight"].clone()
        model.weight.grad = gradient_at(step, 1.0)
        optimizer.step()
    grown = sparsity.masks["weight"] & ~mask
    for step in range(1, 10):
        model.weight.grad = gradient_at(step, 1.0) if step % 2 else None
        twin.grad = model.weight.grad
        twin.grad = None if model.weight.grad is None else model.weight.grad.clone()
        optimizer.step()
        oracle.step()
    torch.testing.assert_close(model.weight[grown], twin[grown], rtol=1e-9, atol=1e-12)


def test_old_age_comes_and_ages_are_forgotten() -> None:
    model = nn.Linear(20, 10, bias=False)
    sparsity = sparsify(model, density=0.25, topology=TOPOLOGIES.build("set", interval=INTERVAL))
    optimizer = adam(model.parameters(), betas=(0.5, 0.6))
    sparsity.attach(optimizer, steps=1000)
    for step in range(1, 2 * INTERVAL):
        model.weight.grad = gradient_at(step, 1.0, torch.float32)
        optimizer.step()
        ages = sparsity.state_dict()["attachments"][0]["ages"]
        assert bool(ages) == (INTERVAL <= step < INTERVAL + 19)  # 0.6**19 < 1e-4


@pytest.mark.parametrize("name", ["adam", "amsgrad", "nadam", "radam", "adamax"])
def test_resumed_it_has_the_same_bits(name: str) -> None:
    model, sparsity, optimizer = setting(OPTIMIZERS[name], dtype=torch.float32)
    for step in range(1, 50):
        model.weight.grad = gradient_at(step, 1.0, torch.float32)
        optimizer.step()
    saved = copy.deepcopy((model.state_dict(), optimizer.state_dict(), sparsity.state_dict()))
    assert saved[2]["attachments"][0]["ages"]["weight"].any()
    again, masks, other = setting(OPTIMIZERS[name], dtype=torch.float32)
    again.load_state_dict(saved[0])
    other.load_state_dict(saved[1])
    masks.load_state_dict(saved[2])
    for step in range(50, 90):
        for net, stepped in ((model, optimizer), (again, other)):
            net.weight.grad = gradient_at(step, 1.0, torch.float32)
            stepped.step()
    assert torch.equal(model.weight, again.weight)
    assert masks.masks == sparsity.masks


@pytest.mark.kernels
@pytest.mark.parametrize("name", ["adam", "amsgrad", "adamw", "nadam", "radam", "adamax"])
def test_the_engine_cpu_steps_alike(name: str) -> None:
    found = []
    for engine in ("masked", "cpu"):
        with torch.random.fork_rng():
            torch.manual_seed(1)
            model = nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 4))
        inputs = torch.randn(8, 20, generator=torch.Generator().manual_seed(0))
        sparsity = sparsify(model, density=0.25, topology=TOPOLOGIES.build("set", interval=4))
        rarefy.use_engine(model, sparsity, engine, inputs=inputs)
        optimizer = OPTIMIZERS[name](model.parameters())
        sparsity.attach(optimizer, steps=200)
        for _ in range(11):
            optimizer.zero_grad()
            model(inputs).square().mean().backward()
            optimizer.step()
        assert sparsity.state_dict()["attachments"][0]["ages"]
        found.append(sparsity.dense_weights())
    for name in found[0]:
        torch.testing.assert_close(found[0][name], found[1][name], rtol=1e-4, atol=1e-5)


def test_static_masks_have_no_ages() -> None:
    model, sparsity, optimizer = nn.Linear(20, 10), None, None
    sparsity = sparsify(model, density=0.25)
    optimizer = adam(model.parameters())
    sparsity.attach(optimizer)
    for step in range(3):
        model.weight.grad = gradient_at(step, 1.0, torch.float32)
        optimizer.step()
    assert sparsity.state_dict()["attachments"][0]["ages"] == {}


class Unknown(torch.optim.Optimizer):
    """An Adam that nobody knows."""

    def __init__(self, params: Any, lr: float = 1e-3) -> None:
        super().__init__(params, {"lr": lr})

    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                state.setdefault("exp_avg_sq", torch.zeros_like(weight))
                state["step"] = state.get("step", 0) + 1


def test_an_adam_that_nobody_knows_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    model, _, optimizer = setting(Unknown)
    with caplog.at_level(logging.WARNING, "rarefy"):
        for step in range(3 * INTERVAL):
            model.weight.grad = gradient_at(step, 1.0)
            optimizer.step()
    assert [record.args[0] for record in caplog.records] == ["Unknown"]


# --- clean is what an optimizer gives a new weight


@pytest.mark.parametrize(
    ("make", "name", "clean"),
    [
        (lambda w: torch.optim.Rprop(w, lr=LR), "step_size", LR),
        (lambda w: torch.optim.Adagrad(w, lr=LR, initial_accumulator_value=0.3), "sum", 0.3),
        (lambda w: torch.optim.RMSprop(w, lr=LR, centered=True), "grad_avg", 0.0),
        (lambda w: torch.optim.AdamW(w, lr=LR), "exp_avg", 0.0),
    ],
)
@pytest.mark.parametrize("engine", ["masked", pytest.param("cpu", marks=pytest.mark.kernels)])
def test_a_clean_state_is_that_of_a_new_weight(make: Make, name: str, clean: float, engine: str) -> None:
    model = nn.Sequential(nn.Linear(20, 10, bias=False))
    sparsity = sparsify(model, density=0.25, topology=TOPOLOGIES.build("set", interval=2))
    inputs = torch.randn(8, 20)
    rarefy.use_engine(model, sparsity, engine, inputs=inputs)
    optimizer = make(model.parameters())
    sparsity.attach(optimizer, steps=100)
    for _ in range(2):
        mask = sparsity.masks["0.weight"].clone()
        optimizer.zero_grad()
        model(inputs).square().mean().backward()
        optimizer.step()
    grown = sparsity.masks["0.weight"] & ~mask
    values = next(iter(sparsity.weights().values()))
    state = optimizer.state[values][name]
    found = state[grown] if engine == "masked" else state[grown[sparsity.masks["0.weight"]]]
    torch.testing.assert_close(found, torch.full_like(found, clean))


def test_under_rprop_a_grown_weight_trains() -> None:
    model, sparsity, optimizer = setting(lambda w: torch.optim.Rprop(w, lr=LR))
    masks = []
    for step in range(INTERVAL + 1):
        masks.append(sparsity.masks["weight"].clone())
        model.weight.grad = gradient_at(step, 1.0)
        optimizer.step()
    grown = masks[-1] & ~masks[-2]
    assert grown.any()
    assert model.weight[grown].all()
