"""Torch's optimizers without torch's compiler, against torch's own."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from rarefy.eager_optimizers import make_eager

RULES = {
    torch.optim.SGD: {"lr": 0.1, "momentum": 0.9, "nesterov": True},
    torch.optim.Adam: {"lr": 0.1},
    torch.optim.AdamW: {"lr": 0.1},
}


def train(optimizer: torch.optim.Optimizer, model: nn.Module, steps: int) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.linspace(-1, 1, 12).reshape(3, 4)).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize("rule", RULES)
def test_steps_states_and_hooks_are_those_of_torch(rule: type[torch.optim.Optimizer]) -> None:
    model = nn.Linear(4, 2)
    models = (model, copy.deepcopy(model))
    options = RULES[rule]
    optimizers = [kind(one.parameters(), **options) for kind, one in zip((rule, make_eager(rule)), models, strict=True)]
    called: list[object] = []
    optimizers[1].register_step_post_hook(lambda optimizer, *_: called.append(optimizer))
    for optimizer, model in zip(optimizers, models, strict=True):
        train(optimizer, model, 3)
    assert torch.equal(models[0].weight, models[1].weight)
    assert called == [optimizers[1]] * 3
    theirs, ours = (optimizer.state_dict() for optimizer in optimizers)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    optimizers[0].load_state_dict(ours)
    optimizers[1].load_state_dict(theirs)
    for optimizer, model in zip(optimizers, models, strict=True):
        train(optimizer, model, 2)
    assert torch.equal(models[0].weight, models[1].weight)


def test_a_closure_is_evaluated_with_gradients() -> None:
    weight = nn.Parameter(torch.ones(1))
    optimizer = make_eager(torch.optim.SGD)([weight], lr=0.5)
    loss = optimizer.step(lambda: _square(weight, optimizer))
    assert (loss, weight.item(), weight.requires_grad) == (1.0, 0.0, True)


def _square(weight: nn.Parameter, optimizer: torch.optim.Optimizer) -> float:
    optimizer.zero_grad()
    loss = weight.square().sum()
    loss.backward()
    return loss.item()


def test_it_is_an_optimizer_of_its_rule_and_made_once() -> None:
    eager = make_eager(torch.optim.SGD)
    assert issubclass(eager, torch.optim.SGD)
    assert eager.__name__ == "SGD"
    assert make_eager(torch.optim.SGD) is eager
