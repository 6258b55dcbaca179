"""What every attack promises: the ball, [0, 1], the same again for the same seed, and a model left as it was."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rarefy.data import Spec
from rarefy.evaluation.attacks import ATTACKS, compute_robust_accuracy, make_pixel_function
from rarefy.registry import UnknownOption


@pytest.fixture(params=ATTACKS.names())
def name(request: pytest.FixtureRequest) -> str:
    if request.param == "autoattack":
        pytest.importorskip("pyautoattack", reason="needs the extra 'attacks'")
    return str(request.param)


def test_model_and_generators_are_left_as_they_were(
    name: str, net: nn.Module, spec: Spec, images: Tensor, labels: Tensor
) -> None:
    net[0].bias.requires_grad_(False)
    before, state = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    compute_robust_accuracy(net, spec, images[:6], labels[:6], ATTACKS.build(name))
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert all(module.training for module in net.modules())
    assert [p.requires_grad for p in net.parameters()] == [True, False, True, True, True, True]
    assert all(p.grad is None for p in net.parameters())
    assert torch.equal(state, torch.get_rng_state())


def test_same_seed_same_pixels_and_inside_the_ball(
    name: str, net: nn.Module, spec: Spec, images: Tensor, labels: Tensor
) -> None:
    attack, pixels = ATTACKS.build(name, eps=0.05), images[:6] / 255
    first, again = (
        attack(make_pixel_function(net.eval(), spec), pixels, labels[:6], torch.Generator().manual_seed(7))
        for _ in range(2)
    )
    assert torch.equal(first, again)
    assert first.shape == pixels.shape and first.min() >= 0 and first.max() <= 1
    assert (first - pixels).abs().max() <= 0.05 + 1e-6


def test_an_empty_ball_changes_nothing(name: str, net: nn.Module, spec: Spec, images: Tensor, labels: Tensor) -> None:
    if name == "autoattack":
        pytest.skip("the library divides by eps")
    found = compute_robust_accuracy(net, spec, images, labels, ATTACKS.build(name, eps=0))
    assert found["clean"] == found["robust"] == 20 / 24


def test_eps_has_to_be_a_number(name: str) -> None:
    with pytest.raises(UnknownOption, match="nan"):
        ATTACKS.build(name, eps=float("nan"))


@pytest.mark.parametrize("eps", [-0.1, 8])
def test_eps_in_levels_of_256_is_refused(name: str, eps: float) -> None:
    with pytest.raises(UnknownOption, match=r"before normalisation \(8/255"):
        ATTACKS.build(name, eps=eps)


@given(st.data())
@settings(max_examples=25)
def test_never_leaves_the_ball_nor_the_unit_interval(data: st.DataObject) -> None:
    eps = data.draw(st.floats(0, 1))
    options = {"steps": data.draw(st.integers(1, 4)), "step_size": data.draw(st.floats(1e-3, 2))}
    options |= {"restarts": data.draw(st.integers(1, 2))}
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    # Far more black and white than a uniform draw would give: the edges of [0, 1] are where it matters.
    pixels = (torch.rand(3, 1, 2, 2, generator=generator) * 2 - 0.5).clamp(0, 1)
    weight = torch.randn(4, 4, generator=generator)
    labels = torch.tensor([0, 1, 3])
    for attack in (ATTACKS.build("fgsm", eps=eps), ATTACKS.build("pgd", eps=eps, **options)):
        moved = attack(lambda x: (5 * x.flatten(1)).sin() @ weight, pixels, labels, generator)
        assert moved.min() >= 0 and moved.max() <= 1
        assert (moved - pixels).abs().max() <= eps + 1e-6
