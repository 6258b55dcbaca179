from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rarefy.evaluation.flow import compute_top_eigenvalue

Batch = tuple[Tensor, Tensor]


@pytest.mark.parametrize("sparse", [False, True])
def test_agrees_with_the_whole_hessian(sparse: bool) -> None:
    """A small net in float64: the matrix itself, and its eigenvalues by torch."""
    generator = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    for parameter in net.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    inputs, labels = torch.randn(8, 3, generator=generator, dtype=torch.float64), torch.arange(8) % 2
    masks = {f"{i}.weight": torch.rand(net[i].weight.shape, generator=generator) < 0.6 for i in (0, 2)}
    masks = masks if sparse else {name: torch.ones_like(mask) for name, mask in masks.items()}

    def loss(flat: Tensor) -> Tensor:
        weights = {"0.weight": flat[:12].view(4, 3), "2.weight": flat[12:].view(2, 4)}
        return nn.functional.cross_entropy(torch.func.functional_call(net, weights, (inputs,)), labels)

    flat = torch.cat([net[0].weight.detach().flatten(), net[2].weight.detach().flatten()])
    held = torch.cat([mask.flatten() for mask in masks.values()]).double()
    values = torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, flat) * held * held[:, None])
    found = compute_top_eigenvalue(net, inputs, labels, masks, iterations=2000, tolerance=1e-10)
    assert found["converged"]
    assert found["eigenvalue"] == pytest.approx(values[values.abs().argmax()].item(), rel=1e-4)


def test_the_seed_decides_and_few_iterations_do_not_converge(unchanged: nn.Module, batch: Batch) -> None:
    found = compute_top_eigenvalue(unchanged, *batch, iterations=2, tolerance=0, seed=3)
    assert found == compute_top_eigenvalue(unchanged, *batch, iterations=2, tolerance=0, seed=3)
    assert found != compute_top_eigenvalue(unchanged, *batch, iterations=2, tolerance=0, seed=4)
    assert found["iterations"] == 2 and not found["converged"]
    with pytest.raises(ValueError, match="at least 1"):
        compute_top_eigenvalue(unchanged, *batch, iterations=0)


def test_a_flat_loss_has_eigenvalue_zero() -> None:
    layer = nn.Linear(2, 1, bias=False)  # one class: the loss is 0 everywhere
    found = compute_top_eigenvalue(layer, torch.ones(2, 2), torch.zeros(2, dtype=torch.int64))
    assert found["eigenvalue"] == 0 and found["converged"]
