"""The factors against the published table, and what the derivation rests on, measured."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rarefy.errors import InvalidInput, UnknownOption
from rarefy.scaling import SCALINGS, LayerRatio
from rarefy.sparsity import sparsify


@pytest.mark.parametrize("width", [1.0, 4.0])
@pytest.mark.parametrize("density", [1.0, 1 / 4, 1 / 64])
def test_hidden_layers_are_those_of_the_authors_table(density, width) -> None:
    """Dey et al. (2024): variance s^2 / (m_d m_rho), Adam's rate h / (m_d m_rho)."""
    factors = SCALINGS.build("supar", initialiser="constant")(LayerRatio(density, width, width), "adam")
    assert factors.initial**2 == pytest.approx(1 / (width * density))
    assert factors.rate == pytest.approx(1 / (width * density))


def test_decay_times_rate_stays_by_default() -> None:
    ratio = LayerRatio(1 / 8)
    constant, published = (
        SCALINGS.build("supar")(ratio, "adam"),
        SCALINGS.build("supar", decay="with_rate")(ratio, "adam"),
    )
    assert (constant.rate * constant.decay, published.rate * published.decay) == (1, 8)


@pytest.mark.parametrize("density", [0.0, 1.5, -1.0])
def test_a_base_density_that_is_none_is_refused(density) -> None:
    with pytest.raises(UnknownOption):
        SCALINGS.build("supar", base_density=density)


def make_network_with_norms() -> nn.Module:
    """A batch norm behind every weight: outputs do not depend on the size of the weights."""
    norms = [nn.BatchNorm1d(n, eps=1e-15, affine=False) for n in (48, 48, 8)]
    layers = [nn.Linear(n, m, bias=False) for n, m in ((32, 48), (48, 48), (48, 8))]
    return nn.Sequential(layers[0], norms[0], nn.ReLU(), layers[1], norms[1], nn.ReLU(), layers[2], norms[2])


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_behind_norms_sgd_needs_no_scaling(momentum) -> None:
    """Weights c times as large at c^2 times the rate train the same function: supar is none, decay included."""
    torch.manual_seed(0)
    model, data = make_network_with_norms().double(), torch.randn(6, 64, 32, dtype=torch.float64)
    labels = torch.randint(0, 8, (6, 64))
    losses = {}
    for scaling in ("none", "supar"):
        own = copy.deepcopy(model)
        sparsity = sparsify(own, density=0.1, scaling=scaling)
        groups = sparsity.param_groups(lr=0.5, weight_decay=0.01)
        optimizer = torch.optim.SGD(groups, lr=0.5, momentum=momentum)
        sparsity.attach(optimizer)
        losses[scaling] = []
        for inputs, targets in zip(data, labels, strict=True):
            optimizer.zero_grad()
            loss = F.cross_entropy(own(inputs), targets)
            loss.backward()
            optimizer.step()
            losses[scaling].append(loss.item())
    assert losses["supar"] == pytest.approx(losses["none"], rel=1e-9)
    assert losses["none"][-1] != pytest.approx(losses["none"][0], rel=1e-3)


@pytest.mark.parametrize("topology", ["gmp", "granet", "snfs"])
def test_counts_that_change_are_refused_with_the_reason(topology) -> None:
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(InvalidInput, match=f"'supar'.*'{topology}' changes that while it trains") as caught:
        sparsify(model, density=0.2, scaling="supar", topology=topology)
    assert caught.value.name == "scaling"
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    sparsify(model, density=0.2, scaling="mup", topology=topology)


def test_counts_that_change_from_attach_on_are_refused() -> None:
    model = nn.Linear(64, 32)
    sparsity = sparsify(model, density=0.2, scaling="supar", topology="set")
    optimizer = torch.optim.SGD(sparsity.param_groups(lr=0.1), lr=0.1, momentum=0.9)
    with pytest.raises(InvalidInput, match="changes that while it trains"):
        sparsity.attach(optimizer, topology="snfs", steps=10)
    sparsity.attach(optimizer, topology="rigl", steps=10)
