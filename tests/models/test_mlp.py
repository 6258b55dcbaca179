from __future__ import annotations

import pytest
import torch

from rarefy.models import build, parse, prunable
from rarefy.registry import UnknownOption


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(17)


def test_forward_by_hand() -> None:
    net = build(parse("mlp_5_3"), in_channels=2, classes=4, size=(2, 3), generator=generator())
    images = torch.rand(6, 2, 2, 3, generator=generator())
    state = net.state_dict()
    x = images.reshape(6, 12)
    for layer in ("fc1", "fc2"):
        x = (x @ state[f"{layer}.weight"].T + state[f"{layer}.bias"]).clamp(min=0)
    torch.testing.assert_close(net(images), x @ state["fc3.weight"].T + state["fc3.bias"])


def test_lenet_300_100_has_its_266200_weights() -> None:
    net = build(parse("mlp_300_100"), in_channels=1, size=(28, 28), generator=generator())
    shapes = {name: tuple(weight.shape) for name, weight in prunable(net).items()}
    assert shapes == {"fc1.weight": (300, 784), "fc2.weight": (100, 300), "fc3.weight": (10, 100)}
    assert sum(weight.numel() for weight in prunable(net).values()) == 266_200


def test_weights_are_kaiming_normal() -> None:
    weight = build(parse("mlp_200"), size=(16, 16), generator=generator()).get_parameter("fc1.weight")
    assert weight.std().item() == pytest.approx((2 / 768) ** 0.5, rel=0.01)


def test_names() -> None:
    assert parse("MLP-300-100") == parse("mlp_300_100")
    assert parse("mlp_7").name == "mlp_7"


@pytest.mark.parametrize("name", ["mlp_0", "mlp_32_0"])
def test_an_empty_layer(name: str) -> None:
    with pytest.raises(UnknownOption, match="at least one hidden layer, each at least 1 wide"):
        parse(name)
