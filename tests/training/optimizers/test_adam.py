"""Adam against its formula, written out by hand."""

from __future__ import annotations

import pytest
import torch

from rarefy.training.optimizers.adam import Adam


def by_hand(beta1: float, beta2: float, eps: float) -> torch.Tensor:
    ends = []
    for k, decay in ((1, 0.3), (2, 0.0)):
        x = torch.linspace(-1, 2, 3, dtype=torch.float64)
        mean, square = torch.zeros_like(x), torch.zeros_like(x)
        for step in range(1, 6):
            gradient = 2 * k * x + decay * x
            mean = beta1 * mean + (1 - beta1) * gradient
            square = beta2 * square + (1 - beta2) * gradient**2
            x = x - 0.01 * (mean / (1 - beta1**step)) / ((square / (1 - beta2**step)).sqrt() + eps)
        ends.append(x)
    return torch.cat(ends)


@pytest.mark.parametrize("options", [{}, {"beta1": 0.5, "beta2": 0.9, "eps": 1e-3}])
def test_it_takes_the_formula_s_steps(path, options):
    expected = by_hand(**({"beta1": 0.9, "beta2": 0.999, "eps": 1e-8} | options))
    torch.testing.assert_close(path(lambda groups: Adam(**options)(groups, 0.01)), expected)


@pytest.mark.parametrize("options", [{"beta1": 1.0}, {"beta1": -0.1}, {"beta2": 1.0}, {"beta2": 2.0}, {"eps": -1.0}])
def test_an_option_outside_its_range_raises_when_the_method_is_built(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Adam(**options)
