from __future__ import annotations

import pytest
import torch

from rarefy.models import MODELS, build, parse
from rarefy.registry import UnknownName, UnknownOption


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("cifar_resnet_20x", "Did you mean 'cifar_resnet_20'"),
        ("vgg", "Did you mean 'vgg1"),
        ("mlp", "Did you mean 'mlp_"),
        ("tochvision/resnet18", "Did you mean 'torchvision/resnet18'"),
    ],
)
def test_an_unknown_name_says_the_nearest_and_all_forms(name: str, near: str) -> None:
    with pytest.raises(UnknownName) as raised:
        parse(name)
    assert near in str(raised.value)
    assert all(MODELS.get(family).form in str(raised.value) for family in MODELS.names())


def test_options_fill_in_what_the_name_leaves_out() -> None:
    assert parse("cifar_resnet_20", width=8) == parse("cifar_resnet_20_8")
    with pytest.raises(UnknownOption, match=r"no option 'widht'\. Did you mean 'width'"):
        parse("cifar_resnet_20", widht=8)


def test_an_option_does_not_contradict_the_name() -> None:
    with pytest.raises(UnknownOption, match="'width' in the name and as an option"):
        parse("cifar_resnet_20_16", width=8)


@pytest.mark.parametrize("wrong", [{"in_channels": 0}, {"classes": 0}, {"size": (0, 32)}])
def test_numbers_must_be_positive(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"cifar_resnet_20_16 needs positive numbers.*{next(iter(wrong))}="):
        build(parse("cifar_resnet_20"), generator=torch.Generator(), **wrong)
