"""SGD against its formula, written out by hand."""

from __future__ import annotations

import pytest
import torch

from rarefy.training.optimizers.sgd import Sgd


def by_hand(momentum: float, nesterov: bool) -> torch.Tensor:
    ends = []
    for k, decay in ((1, 0.3), (2, 0.0)):
        x, velocity = torch.linspace(-1, 2, 3, dtype=torch.float64), 0.0
        for _ in range(5):
            gradient = 2 * k * x + decay * x
            velocity = momentum * velocity + gradient
            x = x - 0.01 * (gradient + momentum * velocity if nesterov else velocity)
        ends.append(x)
    return torch.cat(ends)


@pytest.mark.parametrize(
    ("options", "momentum", "nesterov"),
    [({}, 0.9, True), ({"nesterov": False}, 0.9, False), ({"momentum": 0.5}, 0.5, True), ({"momentum": 0}, 0, False)],
)
def test_it_takes_the_formula_s_steps(path, options, momentum, nesterov):
    torch.testing.assert_close(path(lambda groups: Sgd(**options)(groups, 0.01)), by_hand(momentum, nesterov))


def test_defaults_are_the_paper_s():
    assert Sgd() == Sgd(momentum=0.9, nesterov=True)


@pytest.mark.parametrize("momentum", [-0.1, 1.0, 1.5, float("nan")])
def test_a_momentum_outside_its_range_raises_when_the_method_is_built(momentum):
    with pytest.raises(ValueError, match="momentum"):
        Sgd(momentum=momentum)
