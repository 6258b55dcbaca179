"""How often a training step passes over its activations."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from rarefy.engines._cpu import SparseConv2d, SparseLinear, fuse
from rarefy.engines._cpu.kernels._threads import KernelCall, observe_kernels

pytestmark = pytest.mark.kernels


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """More threads split small layers so that their gradients take passes of their own."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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
    expected = ["transpose", "convolve"] if padding == 1 else ["transpose", "correlate", "convolve"]
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


@pytest.mark.parametrize("pool", [nn.MaxPool2d(2), nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(2)])
def test_pooling_after_batch_norm_is_that_of_torch_without_a_pass_of_its_own(pool):
    torch.manual_seed(5)
    dense = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), pool)
    mask = torch.rand(dense[0].weight.shape) < 0.4
    with torch.no_grad():
        dense[0].weight *= mask
    reference, sparse = copy.deepcopy(dense).double(), copy.deepcopy(dense)
    sparse[0] = SparseConv2d.from_dense(dense[0], mask)
    fuse(sparse)
    images = torch.randn(21, 4, 11, 13)
    output, expected = sparse(images), reference(images.double())
    slope, names = torch.randn(expected.shape), list[str]()
    with observe_kernels(lambda call: (names.append(call.name), call.run())):
        output.backward(slope)
    expected.backward(slope.double())
    assert [name for name in names if name != "pack"] == ["unpool", "correlate"]
    pairs = [(sparse[0].values.grad, reference[0].weight.grad[mask])]
    pairs += [(getattr(sparse[1], name).grad, getattr(reference[1], name).grad) for name in ("weight", "bias")]
    assert all((ours - theirs).norm() < 1e-5 * theirs.norm() for ours, theirs in pairs)


def test_a_convolution_after_a_reentrant_checkpoint_gives_the_gradient_to_its_node():
    torch.manual_seed(7)
    norm = nn.Sequential(nn.BatchNorm2d(8), nn.ReLU())
    first, second = (nn.Conv2d(8, 8, 3, padding=1, bias=False) for _ in range(2))
    masks = [torch.rand(first.weight.shape) < 0.4 for _ in range(2)]
    with torch.no_grad():
        for layer, mask in zip((first, second), masks, strict=True):
            layer.weight *= mask
    reference = copy.deepcopy(nn.ModuleList([first, norm, second])).double()
    sparse = nn.ModuleList([SparseConv2d.from_dense(first, masks[0]), norm, SparseConv2d.from_dense(second, masks[1])])

    class Net(nn.Module):
        def __init__(self, parts: nn.ModuleList) -> None:
            super().__init__()
            self.parts = parts

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            hidden = checkpoint(lambda x: self.parts[1](self.parts[0](x)), images, use_reentrant=True)
            return self.parts[2](hidden)

    net, expected = Net(sparse), Net(reference)
    fuse(net)
    images = torch.randn(20, 8, 9, 9)
    ours, theirs = images.clone().requires_grad_(), images.double().requires_grad_()
    net(ours).sum().backward()
    expected(theirs).sum().backward()
    assert (ours.grad - theirs.grad).norm() < 1e-5 * theirs.grad.norm()
