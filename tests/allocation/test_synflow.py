"""SynFlow by its closed form in a linear network, its conservation law, and networks that swallow the flow."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from rarefy.allocation import ALLOCATIONS, Probe, allocate


def two_layers() -> Probe:
    generator = torch.Generator().manual_seed(7)
    model = nn.Sequential(nn.Linear(4, 5, bias=False), nn.Linear(5, 3, bias=False))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(generator=generator)
    return Probe(model, {"a": model[0].weight, "b": model[1].weight}, torch.randn(2, 4))


def test_one_round_is_the_closed_form() -> None:
    probe = two_layers()
    a, b = (weight.detach().double().abs() for weight in probe.weights.values())
    scores = ALLOCATIONS.build("synflow", iterations=1).saliency(probe, 0.5)
    torch.testing.assert_close(scores["a"], a * b.sum(0)[:, None])
    torch.testing.assert_close(scores["b"], b * a.sum(1)[None, :])


def test_flow_is_conserved_through_every_unit_and_layer() -> None:
    scores = ALLOCATIONS.build("synflow", iterations=20).saliency(two_layers(), 0.6)
    a, b = scores["a"].clamp(min=0), scores["b"].clamp(min=0)
    torch.testing.assert_close(a.sum(1), b.sum(0))
    assert a.sum() > 0


def test_rounds_take_weights_out_along_the_exponential_schedule() -> None:
    # 35 weights; before the fourth round of four, round(0.2 ** (3 / 4) * 35) = 10 are left.
    scores = ALLOCATIONS.build("synflow", iterations=4).saliency(two_layers(), 0.2)
    assert sum(int((score >= 0).sum()) for score in scores.values()) == 10


def test_rounds_prevent_the_collapse_of_a_wide_layer() -> None:
    generator = torch.Generator().manual_seed(1)
    model = nn.Sequential(*(nn.Linear(a, b, bias=False) for a, b in [(8, 8), (8, 256), (256, 8), (8, 8)]))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(generator=generator)
    weights = {str(place): layer.weight for place, layer in enumerate(model)}
    probe = Probe(model, weights, torch.zeros(1, 8))
    once = ALLOCATIONS.build("synflow", iterations=1)
    kept = [int(allocate(once, shapes(probe), 0.02, probe=probe)[name]) for name in ("1", "2")]
    assert min(kept) == 1  # one round empties the wide layers; the door leaves one weight
    counts = allocate(ALLOCATIONS.build("synflow"), shapes(probe), 0.02, probe=probe)
    assert min(counts.values()) > 1


def test_batch_norm_does_not_swallow_the_flow_and_statistics_do_not_matter() -> None:
    model = torchvision.models.resnet.ResNet(torchvision.models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=10)
    weights = {name: weight for name, weight in model.named_parameters() if weight.ndim > 1}
    probe = Probe(model, weights, torch.zeros(1, 3, 32, 32))
    rule = ALLOCATIONS.build("synflow", iterations=2)
    scores = rule.saliency(probe, 0.1)
    assert all((score > 0).any() for score in scores.values())
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.fill_(100.0)
    torch.testing.assert_close(rule.saliency(probe, 0.1), scores)


def test_a_deep_network_does_not_overflow() -> None:
    model = nn.Sequential(*(nn.Linear(64, 64, bias=False) for _ in range(60)))
    probe = Probe(model, {str(place): layer.weight for place, layer in enumerate(model)}, torch.zeros(1, 64))
    generator = torch.Generator().manual_seed(2)
    for layer in model:
        nn.init.uniform_(layer.weight, 0.9, 1.1, generator=generator)  # the flow is about 64 ** 61, beyond float32
    counts = allocate(ALLOCATIONS.build("synflow", iterations=2), shapes(probe), 0.5, probe=probe)
    assert sum(counts.values()) == 60 * 2048
    with pytest.raises(ValueError, match="not finite"):
        allocate(ALLOCATIONS.build("synflow", iterations=1, double=False), shapes(probe), 0.5, probe=probe)


def test_a_network_that_cancels_the_flow_is_named() -> None:
    model = nn.Sequential(nn.LayerNorm(4, elementwise_affine=False), nn.Linear(4, 3, bias=False))
    with pytest.raises(ValueError, match="finds no flow"):
        ALLOCATIONS.build("synflow").saliency(Probe(model, {"w": model[1].weight}, torch.zeros(1, 4)), 0.5)


def test_cutting_every_path_is_an_error() -> None:
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    for layer in model:
        nn.init.constant_(layer.weight, 1.0)  # all tie, so one round takes the whole last layer
    probe = Probe(model, {"a": model[0].weight, "b": model[1].weight}, torch.zeros(1, 4))
    with pytest.raises(ValueError, match="2 iterations of SynFlow cut every path"):
        allocate(ALLOCATIONS.build("synflow", iterations=2), shapes(probe), 0.25, probe=probe)


def test_one_sample_is_enough() -> None:
    assert ALLOCATIONS.build("synflow").samples_needed(1000) == 1


def shapes(probe: Probe) -> dict[str, tuple[int, ...]]:
    return {name: tuple(weight.shape) for name, weight in probe.weights.items()}
