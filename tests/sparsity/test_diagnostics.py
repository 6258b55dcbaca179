"""Diagnostics against hand calculations, and their silence when nobody asked."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rarefy.sparsity import Sparsity, sparsify
from rarefy.topology import TOPOLOGIES


def trained(*, diagnostics: bool, clip: bool = False, steps: int = 3) -> tuple[Sparsity, torch.Tensor, torch.Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Linear(12, 8)
    sparsity = sparsify(model, density=0.25, topology=TOPOLOGIES.build("set", interval=2, fraction=0.5))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    sparsity.attach(optimizer, steps=100, diagnostics=diagnostics)
    for step in range(steps):
        optimizer.zero_grad()
        model(torch.randn(5, 12, generator=torch.Generator().manual_seed(step))).square().sum().backward()
        gradient, mask = model.weight.grad.clone(), sparsity.masks["weight"].clone()
        if clip:
            sparsity.mask_gradients_()
            nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
        optimizer.step()
    return sparsity, gradient, mask


@pytest.mark.parametrize("clip", [False, True])
def test_gradient_norms_are_of_the_dense_gradient_of_the_last_step(clip: bool) -> None:
    sparsity, gradient, mask = trained(diagnostics=True, clip=clip)
    found = sparsity.diagnose()
    assert found["gradient_norm_kept"] == pytest.approx(gradient[mask].norm().item(), rel=1e-5)
    assert found["gradient_norm_pruned"] == pytest.approx(gradient[~mask].norm().item(), rel=1e-5)


def test_overlap_is_that_of_the_last_update() -> None:
    before, _, _ = trained(diagnostics=True, steps=1)
    after, _, _ = trained(diagnostics=True, steps=2)
    one, two = before.masks["weight"], after.masks["weight"]
    assert after.diagnose()["mask_overlap"] == pytest.approx(int((one & two).sum()) / int((one | two).sum()))
    assert "mask_overlap" not in before.diagnose()  # there was no update yet


def test_exploration_counts_what_was_ever_kept() -> None:
    sparsity, _, _ = trained(diagnostics=False, steps=4)
    assert sparsity.diagnose()["exploration_rate"] == sparsity.explored()["weight"].float().mean().item()
    assert sparsity.density < sparsity.diagnose()["exploration_rate"] < 1


def test_active_units_are_rows_and_columns_with_a_kept_weight() -> None:
    model = nn.Linear(4, 3, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]))
    found = sparsify(model, from_weights=True).diagnose()
    assert (found["active_outputs"], found["active_inputs"]) == (2 / 3, 2 / 4)


def test_nothing_is_noted_unless_asked_for() -> None:
    sparsity, _, _ = trained(diagnostics=False)
    assert set(sparsity.diagnose()) == {"exploration_rate", "active_outputs", "active_inputs"}


def test_watching_changes_no_bit() -> None:
    watched, _, _ = trained(diagnostics=True, steps=6)
    plain, _, _ = trained(diagnostics=False, steps=6)
    assert torch.equal(watched.weights()["weight"], plain.weights()["weight"])
    assert watched.masks == plain.masks
