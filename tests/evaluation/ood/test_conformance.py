"""What every score promises: one finite number an image, whatever the batches and the order; no change of the model."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from rarefy.data import Spec, Split
from rarefy.evaluation.ood import SCORES, View, detect_ood

FITTED = {"mahalanobis", "knn"}


@pytest.fixture(params=SCORES.names())
def name(request: pytest.FixtureRequest) -> str:
    if request.param in FITTED:
        pytest.importorskip("pytorch_ood", reason="needs the extra 'ood'")
    return str(request.param)


def scores(name: str, net: nn.Module, spec: Spec, split: Split, reference: Split, batch_size: int) -> torch.Tensor:
    view = View(net, spec, split, reference=View(net, spec, reference), batch_size=batch_size)
    return SCORES.build(name)(view)


def test_one_finite_number_an_image(name: str, view: View) -> None:
    found = SCORES.build(name)(view)
    assert found.shape == (11,) and found.dtype == torch.float64 and found.device.type == "cpu"
    assert found.isfinite().all()


@pytest.mark.parametrize("batch_size", [1, 3, 11])
def test_batches_do_not_matter(
    name: str, batch_size: int, net: nn.Module, spec: Spec, split: Split, reference: Split
) -> None:
    found = scores(name, net, spec, split, reference, batch_size)
    torch.testing.assert_close(found, scores(name, net, spec, split, reference, 4), rtol=1e-5, atol=1e-6)


def test_order_does_not_matter(name: str, net: nn.Module, spec: Spec, split: Split, reference: Split) -> None:
    order = torch.tensor([3, 0, 7, 10, 2, 1, 4, 9, 8, 5, 6])
    shuffled = Split(split.images[order], split.labels[order])
    found = scores(name, net, spec, shuffled, reference, 4)
    torch.testing.assert_close(found, scores(name, net, spec, split, reference, 4)[order], rtol=1e-5, atol=1e-6)


def test_model_is_not_changed(name: str, net: nn.Module, view: View) -> None:
    net.train()
    net[0].weight.requires_grad_(False)
    before = copy.deepcopy(net.state_dict())
    SCORES.build(name)(view)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert all(module.training for module in net.modules())
    assert [p.requires_grad for p in net.parameters()] == [False, True, True, True, True, True]
    assert all(p.grad is None for p in net.parameters())
    assert not net[-1]._forward_pre_hooks


def test_training_images_score_above_noise_far_away(name: str) -> None:
    """A net that knows its two corners of the plane and, by construction, is unsure everywhere else."""
    spec = Spec("corners", classes=2, channels=1, height=1, width=2, mean=(0.0,), std=(1.0,))
    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data = torch.tensor([[20.0, -20.0], [-20.0, 20.0]])
    net = nn.Sequential(nn.Flatten(), layer)
    generator = torch.Generator().manual_seed(3)

    def near(first: tuple[int, int], second: tuple[int, int], count: int) -> Split:
        labels = torch.arange(count) % 2
        wobble = torch.randint(-10, 11, (count, 2), generator=generator)
        centre = torch.tensor([first, second])[labels]
        return Split((centre + wobble).to(torch.uint8).view(count, 1, 1, 2), labels)

    known, inside = (near((240, 15), (15, 240), count) for count in (120, 40))
    outside = near((128, 128), (128, 128), 40)
    found = detect_ood(net, spec, inside, {"out": outside}, {name: SCORES.build(name)}, reference=known)
    assert found["out"][name]["auroc"] > 0.95
    assert found["out"][name]["fpr95"] < 0.2
