from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from rarefy.models import build, parse, prunable
from rarefy.registry import UnknownOption


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(17)


@pytest.mark.parametrize("depth", [11, 13, 16, 19])
def test_convolutions_are_those_of_torchvision(depth: int) -> None:
    net = build(parse(f"vgg{depth}"), generator=generator())
    with torch.device("meta"):
        other = torchvision.models.get_model(f"vgg{depth}_bn", weights=None)
    theirs = [tuple(weight.shape) for weight in prunable(other.features).values()]
    assert [tuple(weight.shape) for weight in prunable(net).values()] == [*theirs, (10, 512)]
    assert len(theirs) == depth - 3


def test_forward_is_that_of_torchvision_then_the_papers_2x2_average_pool() -> None:
    net = build(parse("vgg11"), generator=generator()).eval()
    with torch.device("meta"):  # all but its last halving of the image
        theirs = torchvision.models.vgg11_bn(weights=None).features[:-1].eval()
    state = {name.removeprefix("features."): tensor for name, tensor in net.state_dict().items() if "features" in name}
    for index, layer in enumerate(theirs):
        if isinstance(layer, nn.Conv2d):
            state[f"{index}.bias"] = torch.zeros(layer.out_channels)
    theirs.load_state_dict(state, assign=True)
    images = torch.rand(2, 3, 32, 32, generator=generator())
    pooled = nn.functional.avg_pool2d(theirs(images), 2).flatten(1)
    torch.testing.assert_close(net(images), net.get_submodule("classifier")(pooled))


def test_initial_weights() -> None:
    net = build(parse("vgg11"), classes=100, generator=generator())
    assert not net.get_submodule("classifier").bias.any(), "the released code starts the classifier's bias at 0"
    weights = prunable(net)
    for name, weight in weights.items():
        expected = (2 / (weight.shape[0] * 9)) ** 0.5 if weight.ndim == 4 else 0.01
        assert weight.std().item() == pytest.approx(expected, rel=5 / (2 * weight.numel()) ** 0.5), name


@pytest.mark.parametrize("size", [(16, 16), (28, 28), (40, 24)])
def test_images_from_16_pixels_on(size: tuple[int, int]) -> None:
    net = build(parse("vgg11"), in_channels=1, size=size, generator=generator()).eval()
    assert net(torch.rand(1, 1, *size)).shape == (1, 10)


def test_smaller_images() -> None:
    with pytest.raises(ValueError, match="vgg11 halves an image four times and needs at least 16x16 pixels; got 32x15"):
        build(parse("vgg11"), size=(32, 15), generator=generator())


@pytest.mark.parametrize(("depth", "nearest"), [(12, 11), (18, 19), (100, 19)])
def test_a_depth_that_does_not_fit(depth: int, nearest: int) -> None:
    with pytest.raises(UnknownOption, match=f"must be 11, 13, 16 or 19; got {depth}, the nearest is {nearest}"):
        parse(f"vgg{depth}")
