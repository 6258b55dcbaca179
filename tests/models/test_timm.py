from __future__ import annotations

import sys

import pytest
import torch

from rarefy.models import build, parse, prunable
from rarefy.registry import UnknownOption


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(17)


def test_it_is_torchvisions_network_under_other_names() -> None:
    ours = prunable(build(parse("timm/resnet18"), generator=generator()))
    theirs = prunable(build(parse("torchvision/resnet18"), generator=generator()))
    assert {name: weight.shape for name, weight in ours.items()} == {
        name: weight.shape for name, weight in theirs.items()
    }


@pytest.mark.parametrize(("in_channels", "size"), [(3, (32, 32)), (1, (48, 32))])
def test_a_vision_transformer_is_made_for_the_images(in_channels: int, size: tuple[int, int]) -> None:
    net = build(parse("timm/vit_tiny_patch16_224"), in_channels=in_channels, size=size, generator=generator())
    assert net(torch.rand(2, in_channels, *size)).shape == (2, 10)
    assert "blocks.0.attn.qkv.weight" in prunable(net)
    assert not any("norm" in name or ("embed" in name and "patch" not in name) for name in prunable(net))


@pytest.mark.parametrize("name", ["resnett18", "resnet18.a1_in1k"])
def test_an_unknown_network(name: str) -> None:
    with pytest.raises(UnknownOption, match=r"timm has no .* networks; nearest: .*timm/resnet18"):
        parse(f"timm/{name}")


def test_without_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ValueError, match=r"pip install .*\[vision\]"):
        parse("timm/resnet18")
