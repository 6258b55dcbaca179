from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from rarefy.models import build, parse, prunable
from rarefy.registry import UnknownName, UnknownOption


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(17)


# Parameters of the published networks with 1,000 classes, as torchvision's documentation gives them.
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("resnet18", 11_689_512), ("resnet34", 21_797_672), ("resnet50", 25_557_032), ("resnet101", 44_549_160),
        ("resnet152", 60_192_808), ("WideResNet50_2", 68_883_240), ("WideResNet101_2", 126_886_696),
    ],
)  # fmt: skip
def test_parameters(name: str, parameters: int) -> None:
    with torch.device("meta"):
        net = parse(name)(3, 1000, (224, 224))
    assert sum(parameter.numel() for parameter in net.parameters()) == parameters


def test_prunable_weights_are_those_of_the_paper() -> None:
    with torch.device("meta"):
        nets = [parse(name)(3, 1000, (224, 224)) for name in ("resnet50", "WideResNet50_2")]
    millions = [round(sum(weight.numel() for weight in prunable(net).values()) / 1e6, 2) for net in nets]
    assert millions == [25.50, 68.81]


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_it_computes_what_torchvision_s_network_computes(name: str) -> None:
    net = build(parse(name), classes=7, size=(32, 32), generator=generator()).eval()
    other = torchvision.models.get_model(name, weights=None, num_classes=7).eval()
    other.load_state_dict(net.state_dict())
    images = torch.rand(2, 3, 32, 32, generator=generator())
    with torch.no_grad():
        assert torch.allclose(net(images), other(images), atol=1e-5)
    assert net.state_dict().keys() == other.state_dict().keys()


@pytest.mark.parametrize(("name", "fan"), [("resnet18", 64 * 9), ("resnet18_classic", 128 * 9)])
def test_convolutions_are_drawn_by_their_fan(name: str, fan: int) -> None:
    net = build(parse(name), generator=generator())
    layer = net.get_submodule("layer2.0.conv1")  # 64 to 128 channels, 3x3
    assert isinstance(layer, nn.Conv2d)
    assert layer.weight.std().item() == pytest.approx((2 / fan) ** 0.5, rel=0.01)
    linear = net.get_submodule("fc")
    assert isinstance(linear, nn.Linear)
    assert linear.weight.abs().max() <= 512**-0.5  # PyTorch's own: U(-1 / sqrt(fan_in), 1 / sqrt(fan_in))
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    assert all((norm.weight == 1).all() and (norm.bias == 0).all() for norm in norms)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("ResNet-50", "resnet50"), ("wide_resnet50_2", "wideresnet50_2"), ("WideResNet101_2", "wideresnet101_2"),
        ("resnet50_fanin", "resnet50"), ("WideResNet50_2_classic", "wideresnet50_2_classic"),
    ],
)  # fmt: skip
def test_spellings(spelling: str, name: str) -> None:
    assert parse(spelling).name == name


def test_the_initialisation_is_an_option() -> None:
    assert parse("resnet50", init="classic").name == "resnet50_classic"
    with pytest.raises(UnknownOption, match="'init'"):
        parse("resnet50", init="fan")


@pytest.mark.parametrize(("name", "message"), [("resnet20", "nearest is 18"), ("WideResNet34_2", "got 2 with 34")])
def test_there_is_no_such_network(name: str, message: str) -> None:
    with pytest.raises(UnknownOption, match=message):
        parse(name)


def test_a_wide_network_says_how_wide() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'WideResNet50_2'"):
        parse("WideResNet50")
