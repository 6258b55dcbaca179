from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from rarefy.models import build, parse, prunable
from rarefy.registry import UnknownOption

# Weights of convolutions and the classifier, and all parameters, as counted on the paper's own code.
PAPER = [
    ("cifar_resnet_20", 10, 270_896, 272_474),
    ("cifar_resnet_32", 10, 464_432, 466_906),
    ("cifar_resnet_44", 10, 657_968, 661_338),
    ("cifar_resnet_56", 10, 851_504, 855_770),
    ("cifar_resnet_110", 10, 1_722_416, 1_730_714),
    ("cifar_resnet_20_8", 10, 67_992, 68_786),
    ("cifar_resnet_20_24", 10, 608_712, 611_074),
    ("cifar_resnet_20_32", 10, 1_081_440, 1_084_586),
    ("cifar_resnet_20_16", 100, 270_896 + 90 * 64, 272_474 + 5_850),
]


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(17)


@pytest.mark.parametrize(("name", "classes", "weights", "parameters"), PAPER)
def test_counts_of_the_paper(name: str, classes: int, weights: int, parameters: int) -> None:
    net = build(parse(name), classes=classes, generator=generator())
    assert sum(weight.numel() for weight in prunable(net).values()) == weights
    assert sum(parameter.numel() for parameter in net.parameters()) == parameters


def reference(state: dict[str, torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    """The network of depth 8 in evaluation mode, written out by hand."""

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        part = [state[f"{name}.{key}"][:, None, None] for key in ("running_mean", "running_var", "weight", "bias")]
        return (x - part[0]) / (part[1] + 1e-5).sqrt() * part[2] + part[3]

    x = norm(F.conv2d(images, state["conv1.weight"], padding=1), "bn1").clamp(min=0)
    for stage, stride in (("layer1.0", 1), ("layer2.0", 2), ("layer3.0", 2)):
        y = norm(F.conv2d(x, state[f"{stage}.conv1.weight"], stride=stride, padding=1), f"{stage}.bn1").clamp(min=0)
        y = norm(F.conv2d(y, state[f"{stage}.conv2.weight"], padding=1), f"{stage}.bn2")
        if stride == 2:
            x = norm(F.conv2d(x[..., ::2, ::2], state[f"{stage}.shortcut.0.weight"]), f"{stage}.shortcut.1")
        x = (x + y).clamp(min=0)
    return x.mean((2, 3)) @ state["fc.weight"].T + state["fc.bias"]


def test_forward_by_hand() -> None:
    net = build(parse("cifar_resnet_8_4"), in_channels=1, classes=5, size=(8, 8), generator=generator()).double()
    images = torch.rand(6, 1, 8, 8, dtype=torch.float64, generator=generator())
    with torch.no_grad():
        for _ in range(3):  # so that the running statistics are not those of a fresh network
            net(3 * images + 1)
        net.eval()
        torch.testing.assert_close(net(images), reference(net.state_dict(), images))


def test_weights_are_kaiming_normal() -> None:
    net = build(parse("cifar_resnet_20_32"), generator=generator())
    for name, weight in prunable(net).items():
        fan_in = weight[0].numel()
        expected = (2 / fan_in) ** 0.5
        # The relative error of a standard deviation of n numbers is about 1 / sqrt(2 n).
        assert weight.std().item() == pytest.approx(expected, rel=5 / (2 * weight.numel()) ** 0.5), name
        assert abs(weight.mean().item()) < 5 * expected / weight.numel() ** 0.5, name


def test_biases_and_norms_stay_as_pytorch_makes_them() -> None:
    net = build(parse("cifar_resnet_8_64"), classes=1000, generator=generator())
    bound = 256**-0.5
    bias = net.get_parameter("fc.bias")
    assert bias.abs().max().item() == pytest.approx(bound, rel=0.02)
    assert bias.abs().max().item() <= bound
    assert net.get_parameter("bn1.weight").eq(1).all()
    assert net.get_parameter("bn1.bias").eq(0).all()


@pytest.mark.parametrize(("in_channels", "size"), [(1, (8, 8)), (1, (28, 28)), (3, (33, 17)), (5, (1, 1))])
def test_any_image(in_channels: int, size: tuple[int, int]) -> None:
    net = build(parse("cifar_resnet_8_4"), in_channels=in_channels, size=size, generator=generator())
    assert net(torch.rand(4, in_channels, *size)).shape == (4, 10)


def test_names() -> None:
    assert parse("cifar_resnet_20") == parse("cifar_resnet_20_16") == parse("CIFAR-ResNet20")
    assert parse("cifar_resnet_20").name == "cifar_resnet_20_16"


@pytest.mark.parametrize(("depth", "nearest"), [(21, 20), (18, 20), (0, 8), (2, 8), (109, 110)])
def test_a_depth_that_does_not_fit(depth: int, nearest: int) -> None:
    with pytest.raises(UnknownOption, match=rf"6n \+ 2 \(8, 14, 20.*got {depth}, the nearest is {nearest}$"):
        parse(f"cifar_resnet_{depth}")


def test_a_width_that_does_not_fit() -> None:
    with pytest.raises(UnknownOption, match=r"width must be a whole number from 1 on.*got 0"):
        parse("cifar_resnet_20_0")
