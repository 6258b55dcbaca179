"""What every family of networks promises."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from rarefy.models import MODELS, Model, build, parse, prunable

EXAMPLES = [
    MODELS.get(family).examples[0]
    for family in MODELS.names()
    if family != "file"  # see test_file.py
]


def seeded(seed: int = 17) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(params=EXAMPLES)
def model(request: pytest.FixtureRequest) -> Model:
    return parse(request.param)


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


def test_every_file_of_the_room_is_a_family() -> None:
    assert {"cifar_resnet", "mlp", "resnet", "timm", "torchvision", "vgg"} <= set(MODELS.names())


def test_weights_are_a_function_of_the_generator_alone(model: Model) -> None:
    torch.manual_seed(1)
    one = build(model, generator=seeded())
    torch.manual_seed(2)
    with torch.device("meta"):
        assert same(one, build(model, generator=seeded()))
    assert not same(one, build(model, generator=seeded(18)))


def test_the_global_generator_is_left_alone(model: Model) -> None:
    before = torch.get_rng_state()
    build(model, generator=seeded())
    assert torch.equal(before, torch.get_rng_state())


def test_the_generator_moves_on(model: Model) -> None:
    generator = seeded()
    assert not same(build(model, generator=generator), build(model, generator=generator))


@pytest.mark.parametrize("size", [(32, 32), (64, 64)])
def test_logits(model: Model, size: tuple[int, int]) -> None:
    net = build(model, classes=7, size=size, generator=seeded())
    assert net.training
    logits = net(torch.rand(2, 3, *size, generator=seeded()))
    assert logits.shape == (2, 7)
    assert logits.isfinite().all()
    assert (logits > 0).any()  # a log-softmax would have none


def test_prunable_is_a_part_of_named_parameters_in_its_order(model: Model) -> None:
    net = build(model, generator=seeded())
    weights = prunable(net)
    parameters = dict(net.named_parameters())
    assert weights
    assert list(weights) == [name for name in parameters if name in weights]
    assert all(parameters[name] is weight and weight.ndim >= 2 for name, weight in weights.items())


def test_the_name_comes_back(model: Model) -> None:
    assert parse(model.name) == model
    assert parse(model.name.upper().replace("_", "-")) == model
    assert dataclasses.is_dataclass(model)
    assert hash(model) == hash(parse(model.name))


def test_all_examples_parse() -> None:
    for family in map(MODELS.get, MODELS.names()):
        assert all(type(parse(example)) is family for example in family.examples)
