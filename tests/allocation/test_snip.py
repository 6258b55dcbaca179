"""SNIP against the derivative by an explicit multiplicative mask, which is how the paper defines it."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from rarefy.allocation import ALLOCATIONS, Probe, allocate
from rarefy.registry import UnknownOption


@pytest.fixture
def probe() -> Probe:
    generator = torch.Generator().manual_seed(3)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 3)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3, generator=generator)
    inputs = torch.randn(10, 2, 6, 6, generator=generator, dtype=torch.float64)
    targets = torch.arange(10) % 3
    return Probe(model, {"conv": model[0].weight, "fc": model[3].weight}, inputs, targets)


def by_masks(probe: Probe) -> dict[str, torch.Tensor]:
    masks = {name: torch.ones_like(weight, requires_grad=True) for name, weight in probe.weights.items()}
    parameters = dict(probe.model.named_parameters())
    parameters |= {"0.weight": probe.weights["conv"] * masks["conv"], "3.weight": probe.weights["fc"] * masks["fc"]}
    outputs = functional_call(probe.model, parameters, (probe.inputs,))
    functional.cross_entropy(outputs, probe.targets).backward()
    return {name: mask.grad.abs() for name, mask in masks.items()}


@pytest.mark.parametrize("batch", [3, 5, 128])
def test_scores_are_the_derivatives_by_the_mask_in_micro_batches_too(probe, batch) -> None:
    scores = ALLOCATIONS.build("snip", batch=batch).saliency(probe, 0.5)
    torch.testing.assert_close(scores, by_masks(probe))


def test_the_count_of_a_layer_is_that_of_the_global_top(probe) -> None:
    scores = by_masks(probe)
    order = torch.cat([scores["conv"].flatten(), scores["fc"].flatten()]).argsort(descending=True)
    conv = int((order[:66] < 72).sum())
    shapes = {"conv": (4, 2, 3, 3), "fc": (3, 64)}
    assert allocate(ALLOCATIONS.build("snip"), shapes, 0.25, probe=probe) == {"conv": conv, "fc": 66 - conv}


def test_the_networks_own_weights_are_scored(probe) -> None:
    before = ALLOCATIONS.build("snip").saliency(probe, 0.5)["conv"]
    with torch.no_grad():
        probe.weights["conv"][0] = 0
    after = ALLOCATIONS.build("snip").saliency(probe, 0.5)["conv"]
    assert (before[0] > 0).any()
    assert (after[0] == 0).all()


def test_samples_and_targets(probe) -> None:
    assert ALLOCATIONS.build("snip").samples_needed(100) == 128
    assert ALLOCATIONS.build("snip", samples=7).samples_needed(100) == 7
    blind = Probe(probe.model, probe.weights, probe.inputs)
    with pytest.raises(ValueError, match="takes targets"):
        ALLOCATIONS.build("snip").saliency(blind, 0.5)
    with pytest.raises(UnknownOption, match="above 0"):
        ALLOCATIONS.build("snip", batch=0)


def test_a_loss_of_ones_own(probe) -> None:
    def doubled(outputs, targets):
        return 2 * functional.cross_entropy(outputs, targets)

    twice = Probe(probe.model, probe.weights, probe.inputs, probe.targets, loss=doubled)
    scores = ALLOCATIONS.build("snip").saliency(twice, 0.5)
    torch.testing.assert_close(scores["fc"], 2 * by_masks(probe)["fc"])
