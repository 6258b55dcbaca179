"""Scaling of whole networks: each layer by its own density and width."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

import rarefy
from rarefy.errors import InvalidInput
from rarefy.scaling import SCALINGS
from rarefy.sparsity import sparsify


def network(width: int = 64) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(40, width), nn.ReLU(), nn.Linear(width, width), nn.LayerNorm(width), nn.Linear(width, 10)
    )


def rates(sparsity: Any, model: nn.Module, **options: Any) -> dict[str, float]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = sparsity.param_groups(lr=1.0, **options)
    return {names[id(parameter)]: group["lr"] for group in groups for parameter in group["params"]}


def test_each_layer_follows_its_own_density() -> None:
    model = network()
    before = copy.deepcopy(model)
    sparsity = sparsify(model, density=0.2, allocation="erk", scaling="supar")
    found = rates(sparsity, model)
    densities = {layer.name: layer.density for layer in sparsity.layers()}
    assert len(set(densities.values())) == 3
    for name, density in densities.items():
        assert found[name] == pytest.approx(1 / density)
        mask = sparsity.masks[name]
        expected = before.get_parameter(name)[mask] / density**0.5
        torch.testing.assert_close(model.get_parameter(name)[mask], expected)
    assert {found[name] for name in found if name not in densities} == {1.0}


@pytest.mark.parametrize("allocation", ["erk", "uniform"])
def test_at_its_base_density_a_network_is_the_base_network(allocation) -> None:
    model = network()
    before = copy.deepcopy(model)
    rule = SCALINGS.build("supar", base_density=0.2)
    sparsity = sparsify(model, density=0.2, allocation=allocation, scaling=rule)
    assert set(rates(sparsity, model).values()) == {1.0}
    assert all(torch.equal(model.get_parameter(n)[m], before.get_parameter(n)[m]) for n, m in sparsity.masks.items())


def test_a_base_density_is_that_of_the_same_allocation() -> None:
    """ERK keeps the small layer dense at both densities: it stays, while the others get sparser."""
    model = network()
    base = {layer.name: layer.density for layer in sparsify(network(), density=0.5, allocation="erk").layers()}
    sparsity = sparsify(model, density=0.1, scaling=SCALINGS.build("supar", base_density=0.5), allocation="erk")
    found = rates(sparsity, model)
    for layer in sparsity.layers():
        assert found[layer.name] == pytest.approx(base[layer.name] / layer.density)


def test_no_scaling_gives_the_groups_of_torch() -> None:
    model = network()
    groups = sparsify(model, density=0.2).param_groups(lr=0.1, weight_decay=0.01)
    assert [set(group) for group in groups] == [{"params", "lr", "weight_decay"}]
    assert [id(p) for p in groups[0]["params"]] == [id(p) for p in model.parameters()]


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        (
            "adam",
            {"0.weight": 1, "0.bias": 1, "2.weight": 1 / 4, "2.bias": 1, "3.weight": 1, "4.weight": 1 / 4, "4.bias": 1},
        ),
        (
            "sgd",
            {"0.weight": 4, "0.bias": 4, "2.weight": 1, "2.bias": 4, "3.weight": 4, "4.weight": 1 / 4, "4.bias": 1},
        ),
    ],
)
def test_each_layer_follows_its_own_width(optimizer, expected) -> None:
    """Of a network four times as wide as the base, by hand: table 3 of Yang et al. (2022)."""
    model = network(64)
    before = copy.deepcopy(model)
    sparsity = sparsify(model, density=1, allocation="dense", scaling="mup", base_model=network(16))
    found = rates(sparsity, model, optimizer=optimizer)
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    factors = {
        name: model.get_parameter(name) / before.get_parameter(name) for name in ("0.weight", "2.weight", "4.weight")
    }
    assert [float(factor.detach().mean()) for factor in factors.values()] == pytest.approx([1, 1, 1 / 2])


def test_layers_that_stay_dense_follow_the_width_too() -> None:
    model = network(64)
    sparsity = sparsify(
        model, density=0.25, allocation="uniform", scaling="supar", base_model=network(16), exclude=["4"]
    )
    found = rates(sparsity, model, optimizer="adam")
    assert (found["2.weight"], found["4.weight"]) == pytest.approx((1, 1 / 4))


def test_tables_and_transposed_weights_are_read_the_other_way_round() -> None:
    def build(width: int) -> nn.Module:
        return nn.Sequential(nn.Embedding(30, width), nn.Linear(width, width), nn.ConvTranspose1d(width, 3, 5))

    model = build(32)
    sparsity = sparsify(model, density=1, allocation="dense", scaling="mup", base_model=build(8))
    found = rates(sparsity, model, optimizer="adam")
    assert [found[f"{n}.weight"] for n in range(3)] == [1, 1 / 4, 1 / 4]
    found = rates(sparsity, model, optimizer="sgd")
    assert [found[f"{n}.weight"] for n in range(3)] == [4, 1, 1 / 4]


def test_the_kind_of_optimizer_is_asked_for_where_it_matters() -> None:
    sparsity = sparsify(network(64), density=0.5, scaling="supar", base_model=network(16))
    with pytest.raises(InvalidInput) as caught:
        sparsity.param_groups(lr=0.1)
    assert caught.value.name == "optimizer"


def test_a_base_model_with_other_layers_is_refused() -> None:
    for base in (nn.Linear(2, 2), nn.Sequential(nn.Conv1d(4, 4, 3))):
        with pytest.raises(InvalidInput, match=r"0\.weight"):
            sparsify(network(), density=0.5, scaling="supar", base_model=base)


def test_eps_follows_the_width_where_it_is_given() -> None:
    model = network(64)
    sparsity = sparsify(model, density=0.25, allocation="uniform", scaling="supar", base_model=network(16))
    groups = sparsity.param_groups(lr=0.1, eps=1e-8, optimizer="adam")
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    eps = {names[id(p)]: group["eps"] for group in groups for p in group["params"]}
    assert (eps["2.weight"], eps["4.weight"]) == pytest.approx((0.25e-8, 1e-8))


def test_pruned_weights_that_are_trained_are_scaled_alike() -> None:
    torch.manual_seed(0)
    model = nn.Linear(40, 30)
    before = model.weight.detach().clone()
    sparsity = sparsify(model, density=0.25, allocation="uniform", topology="top_kast", scaling="supar")
    reserve = sparsity.state_dict()["reserve"]["values"]["weight"]
    torch.testing.assert_close(model.weight + reserve, before * 2)


@pytest.mark.parametrize("name", ["masked", "cpu"])
def test_engines_train_at_the_same_rates(name) -> None:
    torch.manual_seed(0)
    x, y = torch.randn(8, 40), torch.randint(0, 10, (8,))
    model, other = network(), None
    other = copy.deepcopy(model)
    weights = []
    for net, engine in ((model, "masked"), (other, name)):
        sparsity = sparsify(net, density=0.1, scaling="supar")
        rarefy.use_engine(net, sparsity, engine, inputs=x)
        optimizer = torch.optim.AdamW(sparsity.param_groups(lr=1e-3, weight_decay=0.1, decays_vectors=False))
        sparsity.attach(optimizer)
        for _ in range(3):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
        weights.append(sparsity.dense_weights())
    for layer, weight in weights[0].items():
        torch.testing.assert_close(weights[1][layer], weight, rtol=1e-4, atol=1e-5)


def test_fan_in_is_what_scaled_was() -> None:
    model = network()
    other = copy.deepcopy(model)
    sparsify(model, density=0.2, scaled=True)
    sparsify(other, density=0.2, scaling="fan_in")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    with pytest.raises(InvalidInput):
        sparsify(network(), density=0.2, scaled=True, scaling="supar")
