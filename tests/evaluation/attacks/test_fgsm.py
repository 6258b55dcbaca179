from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rarefy.data import Spec
from rarefy.evaluation.attacks import ATTACKS, compute_robust_accuracy, make_pixel_function


@pytest.mark.parametrize("name", ["fgsm", "pgd"])
@pytest.mark.parametrize("eps", [0.005, 0.01, 8 / 255])
def test_a_linear_models_worst_case_is_known(name: str, eps: float) -> None:
    """With two classes an image stands if its margin exceeds eps times the L1 norm of the difference of the rows.

    The rows act on normalised pixels, so that they count divided by the deviation; pixels stay off 0 and 1.
    """
    generator = torch.Generator().manual_seed(0)
    spec = Spec("dots", classes=2, channels=3, height=4, width=4, mean=(0.5, 0.4, 0.3), std=(0.25, 0.3, 0.2))
    images = torch.randint(40, 215, (200, 3, 4, 4), generator=generator, dtype=torch.uint8)
    layer = nn.Linear(48, 2, bias=False)
    layer.weight.data = torch.randn(2, 48, generator=generator)
    logits = layer(spec.normalize(images / 255).flatten(1)).detach()
    labels = logits.argmax(1)
    margin = logits.amax(1) - logits.amin(1)
    reach = ((layer.weight[0] - layer.weight[1]).view(3, 16) / torch.tensor(spec.std).view(3, 1)).abs().sum()
    expected = (margin > eps * reach).float().mean().item()
    found = compute_robust_accuracy(
        nn.Sequential(nn.Flatten(), layer), spec, images, labels, ATTACKS.build(name, eps=eps)
    )
    assert found["clean"] == 1
    assert 0 < expected < 1
    assert found["robust"] == pytest.approx(expected)


def test_one_step_of_eps_up_the_loss(net: nn.Module, spec: Spec, images: Tensor, labels: Tensor) -> None:
    function, pixels = make_pixel_function(net.eval(), spec), images / 255 * 0.8 + 0.1
    moved = ATTACKS.build("fgsm", eps=1e-3)(function, pixels, labels, torch.Generator())
    step = (moved - pixels).abs()
    assert ((step - 1e-3).abs() < 1e-6).float().mean() > 0.9 and (step < 1e-3 + 1e-6).all()
    before, after = (nn.functional.cross_entropy(function(x), labels, reduction="none") for x in (pixels, moved))
    assert (after >= before).all() and (after > before).any()
