"""A small training, as callbacks see it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import rarefy
from rarefy.config import Training
from rarefy.training import OPTIMIZERS, SCHEDULES, Settings, State


def make_state(*, epochs: int = 3, steps: int = 4) -> State:
    generator = torch.Generator().manual_seed(17)
    model = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))
    for parameter in model.parameters():
        nn.init.uniform_(parameter, -1, 1, generator=generator)
    settings = Settings(Training(epochs=epochs), OPTIMIZERS.build("sgd"), SCHEDULES.build("step"))
    return State(model, rarefy.sparsify(model, density=0.5), settings, steps_per_epoch=steps)


@pytest.fixture
def state() -> State:
    return make_state()


@pytest.fixture
def step():
    """Takes one optimizer step, the way the loop does: the step's number goes up."""

    def take(state: State) -> None:
        inputs = torch.linspace(-1, 1, 12).view(2, 6) * (state.step + 1)
        loss = state.model(inputs).square().mean()
        state.optimizer.zero_grad()
        loss.backward()
        state.optimizer.step()
        state.totals.loss += loss.detach().double()
        state.totals.seen += 2
        state.batch += 1

    return take


@pytest.fixture
def close_epoch():
    """Ends an epoch, the way the loop does."""

    def close(state: State) -> None:
        state.history.append({"epoch": state.epoch + 1, "train_loss": state.totals.mean_loss, "lr": state.lr})
        state.epoch, state.batch = state.epoch + 1, 0

    return close


@pytest.fixture
def another_state() -> State:
    """The same training on another day: fresh weights, optimizer and masks."""
    return make_state()
