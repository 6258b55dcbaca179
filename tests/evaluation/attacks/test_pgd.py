from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rarefy.data import Spec
from rarefy.evaluation.attacks import ATTACKS, compute_robust_accuracy, make_pixel_function
from rarefy.registry import UnknownOption


@pytest.mark.parametrize("eps", [0.01, 0.03, 0.1])
def test_at_least_as_strong_as_fgsm(eps: float, net: nn.Module, spec: Spec, images: Tensor, labels: Tensor) -> None:
    names = ({"name": "fgsm"}, {"name": "pgd"}, {"name": "pgd", "steps": 50, "restarts": 3})
    fgsm, pgd, more = (
        float(str(compute_robust_accuracy(net, spec, images, labels, ATTACKS.build(**options, eps=eps))["robust"]))
        for options in names
    )
    assert more <= pgd <= fgsm <= 20 / 24


def test_one_step_without_random_start_is_fgsm(net: nn.Module, spec: Spec, images: Tensor, labels: Tensor) -> None:
    function, pixels = make_pixel_function(net.eval(), spec), images / 255
    one = ATTACKS.build("pgd", eps=0.03, steps=1, step_size=0.03, random_start=False)
    moved = one(function, pixels, labels, torch.Generator())
    assert torch.equal(moved, ATTACKS.build("fgsm", eps=0.03)(function, pixels, labels, torch.Generator()))


def test_agrees_with_steps_written_out(net: nn.Module, spec: Spec, images: Tensor, labels: Tensor) -> None:
    """Madry's update, by hand on normalised images, as a library that attacks those would do it."""
    net.eval()
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (spec.mean, spec.std))
    x = x0 = spec.normalize(images / 255)
    for _ in range(4):
        x = x.detach().requires_grad_()
        nn.functional.cross_entropy(net(x), labels).backward()
        x = x.detach() + 0.01 / std * x.grad.sign()
        x = x.clamp(x0 - 0.03 / std, x0 + 0.03 / std).clamp((0 - mean) / std, (1 - mean) / std)
    attack = ATTACKS.build("pgd", eps=0.03, steps=4, step_size=0.01, random_start=False)
    moved = attack(make_pixel_function(net, spec), images / 255, labels, torch.Generator())
    torch.testing.assert_close(moved, x * std + mean, rtol=0, atol=1e-5)


def test_of_several_restarts_the_one_that_fools_is_kept() -> None:
    """Class 1 wins only right of 0.6, reached from starts right of 0.5; the loss of class 0 is higher far left."""

    def function(x: Tensor) -> Tensor:
        x = x.flatten(1)
        return torch.cat([torch.zeros_like(x), (x - 0.6) * 10 * (x > 0.5) + (0.5 - x - 1) * (x <= 0.5)], 1)

    pixels, labels = torch.full((64, 1, 1, 1), 0.5), torch.zeros(64, dtype=torch.int64)
    lost = []
    for restarts in (1, 12):
        attack = ATTACKS.build("pgd", eps=0.3, steps=10, restarts=restarts)
        moved = attack(function, pixels, labels, torch.Generator().manual_seed(0))
        lost.append((function(moved).argmax(1) == 1).float().mean().item())
    assert 0.3 < lost[0] < 0.7 and lost[1] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "at least 1"),
        ({"restarts": 0}, "at least 1"),
        ({"step_size": 0}, "above 0"),
        ({"restarts": 2, "random_start": False}, "would all be the same"),
    ],
)
def test_options_are_checked(options: dict[str, object], message: str) -> None:
    with pytest.raises(UnknownOption, match=message):
        ATTACKS.build("pgd", **options)


def test_agrees_with_pyautoattacks_apgd(net: nn.Module, spec: Spec, images: Tensor, labels: Tensor) -> None:
    """Another library's gradient attack breaks the same images of the same net, give or take one."""
    base = pytest.importorskip("pyautoattack.autopgd_base", reason="needs the extra 'attacks'")
    net.eval().requires_grad_(False)
    function, pixels = make_pixel_function(net, spec), images / 255
    with torch.random.fork_rng():
        theirs = base.APGDAttack(function, n_iter=50, eps=0.03, seed=0, device="cpu").perturb(pixels, labels)
    ours = ATTACKS.build("pgd", eps=0.03, steps=50, restarts=3)(function, pixels, labels, torch.Generator())
    stand = [int((function(moved).argmax(1) == labels).sum()) for moved in (theirs, ours)]
    assert 0 < stand[1] < 20 and abs(stand[0] - stand[1]) <= 1
