"""GraSP against finite differences of the gradient, and the sign against what removing a weight does to its norm."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad
from torch.nn import functional

from rarefy.allocation import ALLOCATIONS, Probe

TEMPERATURE = 5.0


@pytest.fixture
def probe() -> Probe:
    generator = torch.Generator().manual_seed(5)
    model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 4)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(generator=generator)
    inputs = torch.randn(12, 5, generator=generator, dtype=torch.float64)
    return Probe(model, {"a": model[0].weight, "b": model[2].weight}, inputs, torch.arange(12) % 4)


def gradient(probe: Probe, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    biases = {"0.bias": probe.model[0].bias.detach(), "2.bias": probe.model[2].bias.detach()}

    def loss(a, b):
        outputs = functional_call(probe.model, {"0.weight": a, "2.weight": b, **biases}, (probe.inputs,))
        return functional.cross_entropy(outputs / TEMPERATURE, probe.targets)

    return grad(loss, argnums=(0, 1))(a.detach(), b.detach())


@pytest.mark.parametrize("batch", [5, 128])
def test_scores_are_weight_times_hessian_times_gradient(probe, batch) -> None:
    a, b = probe.weights["a"].detach(), probe.weights["b"].detach()
    g = gradient(probe, a, b)
    step = 1e-5
    ahead = gradient(probe, a + step * g[0], b + step * g[1])
    behind = gradient(probe, a - step * g[0], b - step * g[1])
    product = [(up - down) / (2 * step) for up, down in zip(ahead, behind, strict=True)]
    rule = ALLOCATIONS.build("grasp", temperature=TEMPERATURE, batch=batch)
    scores = rule.saliency(probe, 0.5)
    if batch == 128:
        torch.testing.assert_close(scores["a"], a * product[0], rtol=1e-6, atol=1e-12)
        torch.testing.assert_close(scores["b"], b * product[1], rtol=1e-6, atol=1e-12)
    torch.testing.assert_close(
        scores, ALLOCATIONS.build("grasp", temperature=TEMPERATURE).saliency(probe, 0.5), rtol=1e-9, atol=1e-15
    )


def test_shrinking_what_scores_low_raises_the_norm_of_the_gradient(probe) -> None:
    scores = ALLOCATIONS.build("grasp", temperature=TEMPERATURE).saliency(probe, 0.5)["a"]
    a, b = probe.weights["a"].detach(), probe.weights["b"].detach()

    def norm(weight: torch.Tensor) -> float:
        return sum(float((part**2).sum()) for part in gradient(probe, weight, b))

    for position, sign in ((scores.argmin(), 1), (scores.argmax(), -1)):
        shrunk = a.clone()
        shrunk.view(-1)[position] *= 0.999
        assert sign * (norm(shrunk) - norm(a)) > 0


def test_any_number_of_classes_has_its_samples() -> None:
    assert ALLOCATIONS.build("grasp").samples_needed(1000) == 25_000
    assert ALLOCATIONS.build("grasp", samples_per_class=2).samples_needed(7) == 14
