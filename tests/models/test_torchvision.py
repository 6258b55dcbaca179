from __future__ import annotations

import sys

import pytest
import torch
import torchvision

from rarefy.models import build, parse, prunable
from rarefy.registry import UnknownOption


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(17)


def test_it_is_torchvisions_network() -> None:
    net = build(parse("torchvision/ResNet-18"), classes=10, size=(64, 64), generator=generator())
    assert type(net) is torchvision.models.ResNet
    # 11,176,512 parameters of the body (He et al.'s ResNet-18), 512 x 10 weights and 10 biases of the classifier.
    assert sum(parameter.numel() for parameter in net.parameters()) == 11_176_512 + 5_130


def test_resnet50_has_the_counts_of_the_paper() -> None:
    with torch.device("meta"):
        net = parse("torchvision/resnet50")(3, 1000, (224, 224))
        wide = parse("torchvision/wide-resnet50-2")(3, 1000, (224, 224))
    assert round(sum(weight.numel() for weight in prunable(net).values()) / 1e6, 2) == 25.50
    assert round(sum(weight.numel() for weight in prunable(wide).values()) / 1e6, 2) == 68.81


@pytest.mark.parametrize("name", ["vit_b_32", "googlenet", "mobilenet_v2"])
def test_networks_with_ways_of_their_own(name: str) -> None:
    net = build(parse(f"torchvision/{name}"), classes=3, size=(32, 32), generator=generator())
    assert net(torch.rand(2, 3, 32, 32)).shape == (2, 3)


def test_images_must_be_rgb() -> None:
    with pytest.raises(ValueError, match=r"torchvision/resnet18 takes images of 3 channels; got 1.*timm/<name>"):
        build(parse("torchvision/resnet18"), in_channels=1, generator=generator())


def test_vision_transformers_take_squares() -> None:
    with pytest.raises(ValueError, match="torchvision/vit_b_32 takes square images; got 32x64"):
        build(parse("torchvision/vit_b_32"), size=(32, 64), generator=generator())


def test_an_unknown_network() -> None:
    with pytest.raises(
        UnknownOption, match=r"torchvision has no 'resnet19' among its .* nearest: torchvision/resnet18"
    ):
        parse("torchvision/resnet19")


def test_without_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    with pytest.raises(ValueError, match=r"pip install .*\[vision\]"):
        parse("torchvision/resnet18")
