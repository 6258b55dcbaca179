"""ReLU with an upper limit in blocks (ReLU6, hardtanh), against torch's own functions on the same layers, dense."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rarefy.engines._cpu import SparseConv2d, fuse
from rarefy.engines._cpu.fusion import _functions

from .conftest import make_pair

pytestmark = pytest.mark.kernels


class Block(nn.Module):
    """A convolution, batch norm, what is tested, and a depthwise convolution that reads it."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 6, 1, bias=False), nn.BatchNorm2d(6)
        self.depthwise, self.last = nn.Conv2d(6, 6, 3, padding=1, groups=6), nn.Conv2d(6, 4, 1)
        self.function = function
        with torch.no_grad():
            self.norm.weight.fill_(3.0)
            self.norm.bias.fill_(2.0)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.depthwise(self.function(self.norm(self.first(images)))))


@pytest.mark.parametrize(
    "function",
    [
        nn.ReLU6(),
        nn.ReLU6(inplace=True),
        F.relu6,
        nn.Hardtanh(0.0, 1.5),
        lambda tensor: F.relu(F.relu6(tensor)),
        lambda tensor: F.hardtanh(F.relu6(tensor), 0.0, 2.5),
        lambda tensor: F.relu6(tensor + tensor.relu()),
        lambda tensor: F.relu6(tensor).add(F.relu6(tensor)),
        lambda tensor: (seen := F.relu6(tensor)) + seen.sin(),
        lambda tensor: F.max_pool2d(F.relu6(tensor), 2),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_limits_give_what_torch_gives(function: Callable[[Tensor], Tensor], training: bool) -> None:
    sparse, dense = (model.train(training) for model in make_pair(lambda: Block(function)))
    images = torch.randn(19, 3, 6, 6)
    found, wanted = images.clone().requires_grad_(), images.clone().requires_grad_()
    outputs, expected = sparse(found), dense(wanted)
    torch.testing.assert_close(outputs, expected, rtol=1e-4, atol=1e-5)
    factors = torch.randn(expected.shape)
    (outputs * factors).sum().backward()
    (expected * factors).sum().backward()
    torch.testing.assert_close(found.grad, wanted.grad, rtol=1e-3, atol=1e-4)
    for name in ("norm.weight", "norm.bias", "depthwise.weight", "last.bias"):
        ours, theirs = sparse.get_parameter(name).grad, dense.get_parameter(name).grad
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def test_gradients_at_the_limits_and_of_nan_are_torchs() -> None:
    layer = SparseConv2d.from_dense(nn.Conv2d(1, 1, 1, bias=False), torch.ones(1, 1, 1, 1, dtype=torch.bool))
    nn.init.ones_(layer.values)
    model = nn.Sequential(layer, nn.ReLU6())
    fuse(model)
    numbers = torch.tensor([-1.0, 0.0, 3.0, 6.0, 7.0, torch.inf, torch.nan]).view(1, 1, 1, 7)
    found, wanted = numbers.clone().requires_grad_(), numbers.clone().requires_grad_()
    outputs, expected = model(found), F.relu6(wanted)
    torch.testing.assert_close(outputs, expected, equal_nan=True, rtol=0, atol=0)
    outputs.backward(torch.ones_like(outputs))
    expected.backward(torch.ones_like(expected))
    torch.testing.assert_close(found.grad, wanted.grad, equal_nan=True, rtol=0, atol=0)


def test_a_gradient_passes_through_an_infinite_relu() -> None:
    layer = SparseConv2d.from_dense(nn.Conv2d(1, 1, 1, bias=False), torch.ones(1, 1, 1, 1, dtype=torch.bool))
    nn.init.ones_(layer.values)
    model = nn.Sequential(layer, nn.ReLU())
    fuse(model)
    numbers = torch.tensor([torch.inf, 1.0]).view(1, 1, 1, 2).requires_grad_()
    model(numbers)[0, 0, 0].backward(torch.ones(2))
    assert numbers.grad is not None
    assert numbers.grad.flatten().tolist() == [1.0, 1.0]


def test_second_derivatives_are_zero_past_the_limit() -> None:
    sparse, dense = make_pair(lambda: Block(F.relu6))
    images = torch.randn(4, 3, 5, 5)
    found = []
    for model in (sparse, dense):
        inputs = images.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(model(inputs).square().sum(), inputs, create_graph=True)
        found.append(torch.autograd.grad(gradient.square().sum(), inputs)[0])
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-2)


def test_everything_between_sparse_layers_is_computed_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    names = []
    record = _functions.record_operation

    def note(operation: object, *tensors: Tensor | None, written: bool = False) -> Tensor:
        names.append(type(operation).__name__)
        return record(operation, *tensors, written=written)

    monkeypatch.setattr(_functions, "record_operation", note)
    make_pair(lambda: Block(nn.ReLU6(inplace=True)))[0](torch.randn(4, 3, 5, 5))
    assert names == ["Convolve", "Normalize", "Relu", "Convolve", "Convolve"]
