"""How often a training step passes over its activations."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from rarefy.engines._cpu import SparseConv2d, SparseLinear, fuse
from rarefy.engines._cpu.kernels._threads import KernelCall, observe_kernels

pytestmark = pytest.mark.kernels


def list_kernels(layer: nn.Module, shape: tuple[int, ...]) -> list[str]:
    names = list[str]()

    def run(call: KernelCall) -> None:
        names.append(call.name)
        call.run()

    output = layer(torch.ones(shape, requires_grad=True))
    with observe_kernels(run):
        output.backward(torch.ones(output.shape))
    return [name for name in names if name != "pack"]  # the conversions to blocks and back


@pytest.mark.parametrize("padding", [1, (1, 0)])
def test_one_pass_over_the_output_gradient_computes_both_gradients(padding):
    dense = nn.Conv2d(16, 16, 3, padding=padding)
    layer = SparseConv2d.from_dense(dense, torch.rand(dense.weight.shape) < 0.2)
    expected = ["transpose", "convolve"] if padding == 1 else ["correlate", "transpose", "convolve"]
    assert list_kernels(layer, (32, 16, 16, 16)) == expected


def test_a_linear_layer_passes_once_too():
    dense = nn.Linear(64, 64)
    layer = SparseLinear.from_dense(dense, torch.rand(dense.weight.shape) < 0.2)
    assert list_kernels(layer, (256, 64)) == ["transpose", "convolve"]


@pytest.mark.parametrize("images", [512, 40])  # an output that is stored past the caches, and one that is not
def test_a_block_with_batch_norm_is_that_of_torch(images):
    torch.manual_seed(2)
    dense = nn.Sequential(
        nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1)
    )
    masks = [torch.rand(dense[index].weight.shape) < 0.3 for index in (0, 3)]
    with torch.no_grad():
        for index, mask in zip((0, 3), masks, strict=True):
            dense[index].weight *= mask
    reference, sparse = copy.deepcopy(dense).double(), nn.Sequential(*dense)
    for index, mask in zip((0, 3), masks, strict=True):
        sparse[index] = SparseConv2d.from_dense(dense[index], mask)
    sparse[1] = nn.BatchNorm2d(16)
    fuse(sparse)
    inputs = torch.randn(images, 8, 12, 12)
    ours, theirs = inputs.clone().requires_grad_(), inputs.double().requires_grad_()
    slope = torch.randn(images, 16, 12, 12)
    sparse(ours).backward(slope)
    reference(theirs).backward(slope.double())
    assert torch.allclose(ours.grad.double(), theirs.grad, rtol=1e-3, atol=1e-5)
    for index, mask in zip((0, 3), masks, strict=True):
        wanted = reference[index].weight.grad[mask]
        assert (sparse[index].values.grad - wanted).norm() < 1e-5 * wanted.norm()
    for name in ("weight", "bias"):
        wanted = getattr(reference[1], name).grad
        assert (getattr(sparse[1], name).grad - wanted).norm() < 1e-4 * wanted.norm()
