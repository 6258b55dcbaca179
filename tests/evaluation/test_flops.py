"""FLOPs against a count by hand and the paper's own numbers; two per multiply-add."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from rarefy.allocation import ALLOCATIONS, allocate
from rarefy.evaluation import count_layer_flops
from rarefy.models import build, parse, prunable


def resnet_by_hand(depth: int, width: int, classes: int, size: int) -> dict[str, int]:
    """Multiply-adds of the CIFAR ResNet from its description: 3 stages of n basic blocks, two 1x1 shortcuts."""
    macs = {"conv1": size**2 * 9 * 3 * width}
    channels = width
    for stage in range(3):
        out, side = width * 2**stage, size // 2**stage
        for block in range((depth - 2) // 6):
            macs[f"{stage}.{block}.1"] = side**2 * 9 * channels * out
            macs[f"{stage}.{block}.2"] = side**2 * 9 * out * out
            if channels != out:
                macs[f"{stage}.{block}.shortcut"] = side**2 * channels * out
            channels = out
    return macs | {"fc": channels * classes}


@pytest.mark.parametrize(("depth", "width", "classes", "size"), [(20, 16, 10, 32), (20, 8, 100, 32), (32, 24, 10, 16)])
def test_cifar_resnets_by_hand(depth, width, classes, size):
    model = build(
        parse(f"cifar_resnet_{depth}_{width}"), classes=classes, size=(size, size), generator=torch.Generator()
    )
    weights = prunable(model)
    flops = count_layer_flops(model, weights, (3, size, size))
    by_hand = resnet_by_hand(depth, width, classes, size)
    assert list(flops) == list(weights)
    assert sorted(flops.values()) == sorted(2 * macs for macs in by_hand.values())
    assert flops["fc.weight"] == 2 * by_hand["fc"]
    assert next(iter(flops.values())) == 2 * by_hand["conv1"]


def wide_resnet(name: str) -> nn.Module:
    models = pytest.importorskip("torchvision.models", reason="needs torchvision")
    with torch.device("meta"):
        return getattr(models, name)()


@pytest.mark.parametrize(("name", "gmacs"), [("resnet50", 4.09), ("wide_resnet50_2", 11.40)])
def test_imagenet_models_have_the_paper_s_cost(name, gmacs):
    model = wide_resnet(name)
    assert round(sum(count_layer_flops(model, prunable(model), (3, 224, 224)).values()) / 2e9, 2) == gmacs


@pytest.mark.parametrize(
    ("name", "rule", "density", "share"),
    [
        ("wide_resnet50_2", "erk", 0.2, 0.365),
        ("wide_resnet50_2", "erk_plus", 0.2, 0.340),
        ("wide_resnet50_2", "erk", 0.5, 0.672),
        ("resnet50", "erk", 0.2, 0.414),
        ("resnet50", "erk_plus", 0.4, 0.577),
    ],
)
def test_sparse_imagenet_models_cost_the_paper_s_share(name, rule, density, share):
    model = wide_resnet(name)
    weights = prunable(model)
    shapes = {layer: tuple(weight.shape) for layer, weight in weights.items()}
    kept = allocate(ALLOCATIONS.build(rule), shapes, density)
    flops = count_layer_flops(model, weights, (3, 224, 224))
    sparse = sum(flops[layer] * kept[layer] / math.prod(shapes[layer]) for layer in flops)
    assert sparse / sum(flops.values()) == pytest.approx(share, abs=6e-4)


def test_grouped_strided_and_one_dimensional_layers_by_hand():
    model = nn.Sequential(nn.Conv1d(4, 8, 3, stride=2, groups=2, bias=False), nn.Flatten(), nn.Linear(8 * 4, 5))
    assert count_layer_flops(model, prunable(model), (4, 9)) == {"0.weight": 2 * 4 * 8 * 2 * 3, "2.weight": 2 * 32 * 5}


def test_a_wrapped_model_is_counted_under_its_own_names():
    model = nn.DataParallel(nn.Sequential(nn.Linear(8, 4)))
    assert count_layer_flops(model, prunable(model), (8,)) == {"0.weight": 64}


def test_a_layer_that_is_not_used_costs_nothing():
    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.idle = nn.Linear(8, 4), nn.Linear(8, 4)

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return self.used(inputs)

    model = Idle()
    assert count_layer_flops(model, prunable(model), (8,)) == {"used.weight": 64, "idle.weight": 0}


def test_a_shared_weight_is_counted_wherever_it_computes():
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
            self.second.weight = self.first.weight

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return self.second(self.first(inputs))

    model = Tied()
    assert count_layer_flops(model, prunable(model), (4,)) == {"first.weight": 2 * 32}


def test_layers_of_one_module_share_its_cost():
    model = nn.LSTM(4, 8, batch_first=True)  # 3 steps, 4 gates: 3 * 4 * 8 * (4 + 8) multiply-adds
    flops = count_layer_flops(model, prunable(model), (3, 4))
    assert sum(flops.values()) == 2 * 3 * 4 * 8 * (4 + 8)


def test_the_model_is_left_alone():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 2)).train()
    before = copy.deepcopy(model.state_dict())
    count_layer_flops(model, prunable(model), (3, 8, 8))
    assert all(module.training for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.device.type == "cpu" for parameter in model.parameters())
