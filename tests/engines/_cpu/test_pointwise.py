"""Functions of each number and products in blocks, against the same layers, dense."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rarefy.engines._cpu.fusion import _functions, _pointwise, _products

from .conftest import make_pair

pytestmark = pytest.mark.kernels


class SqueezeExcite(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down, self.up, self.gate = nn.Conv2d(6, 2, 1), nn.Conv2d(2, 6, 1), nn.Hardsigmoid()

    def forward(self, images: Tensor) -> Tensor:
        return self.gate(self.up(F.silu(self.down(images.mean((2, 3), keepdim=True))))) * images


class LayerScale(nn.Module):
    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.linspace(-1, 1, 6).view(shape))

    def forward(self, images: Tensor) -> Tensor:
        return images.mul(self.gamma) + self.gamma * images.relu()


class Layers(nn.Module):
    def __init__(self, function: nn.Module | Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.Conv2d(6, 4, 1)
        self.function = function

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.function(self.norm(self.first(images))))


IN_BLOCKS = [
    nn.GELU(),
    nn.GELU("tanh"),
    nn.SiLU(inplace=True),
    nn.Hardswish(),
    nn.Hardswish(inplace=True),
    nn.Hardsigmoid(),
    nn.Sigmoid(),
    nn.Tanh(),
    SqueezeExcite(),
    LayerScale((1, 6, 1, 1)),
    LayerScale((6, 1, 1)),
    lambda x: 0.5 * x * torch.sigmoid(x),
    lambda x: x * x,
    lambda x: x.mul_(2).add_(x),
    lambda x: F.gelu(F.relu6(x)) + x,
    nn.Sequential(nn.Dropout(0.0), nn.GELU()),
]
OTHERWISE = [
    lambda x: x * torch.linspace(0, 1, 6),  # along the columns
    lambda x: x * torch.full((), 3.0),
    lambda x: x * True,
    lambda x: torch.mul(x, other=x),
    lambda x: torch.add(input=x, other=x),
    lambda x: torch.sigmoid(input=x),
    lambda x: torch.tanh(x.detach(), out=torch.empty_like(x)) + x,
    lambda x: x.mean((2, 3), keepdim=True) * x.sin(),
    lambda x: x * torch.rand(x.shape[0], 6, 1, 1, generator=torch.Generator().manual_seed(1)).requires_grad_(),
    lambda x: torch.ones(x.shape).mul_(x),
    lambda x: F.dropout(x, 1.0, training=True) + x,
    lambda x: F.dropout(x, 0.5, training=False).mul_(3) + x,
    lambda x: (seen := F.silu(x)) * seen.sin() + seen,
    lambda x: F.silu(x, inplace=True).add_(1) * 2,
]


def differentiate(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Outputs and all gradients but those of masked weights."""
    inputs = images.clone().requires_grad_()
    outputs = model(inputs)
    (outputs * torch.linspace(-1, 2, outputs.numel()).view(outputs.shape)).sum().backward()
    gradients = {name: one.grad for name, one in model.named_parameters() if not name.startswith(("first", "last"))}
    return {"outputs": outputs.detach(), "inputs": inputs.grad, **gradients}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("function", IN_BLOCKS + OTHERWISE)
def test_functions_give_what_torch_gives(function: Callable[[Tensor], Tensor], training: bool) -> None:
    sparse, dense = (model.train(training) for model in make_pair(lambda: Layers(copy.deepcopy(function))))
    images = torch.randn(19, 3, 6, 6)
    found, wanted = differentiate(sparse, images), differentiate(dense, images)
    assert found.keys() == wanted.keys()
    for name, one in wanted.items():
        torch.testing.assert_close(found[name], one, rtol=1e-3, atol=2e-4 * float(one.abs().max()), msg=name)
    with torch.no_grad():
        torch.testing.assert_close(sparse(images), dense(images), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("function", IN_BLOCKS)
def test_nothing_leaves_the_blocks(function: Callable[[Tensor], Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    names = []
    record = _functions.record_operation

    def note(operation: object, *tensors: Tensor | None, written: bool = False) -> Tensor:
        names.append(type(operation).__name__)
        return record(operation, *tensors, written=written)

    for module in (_functions, _pointwise, _products):
        monkeypatch.setattr(module, "record_operation", note)
    sparse, _ = make_pair(lambda: Layers(copy.deepcopy(function)))
    ordinary = []
    monkeypatch.setattr(sparse.last, "forward", lambda x: ordinary.append(type(x) is Tensor) or x)
    sparse(torch.randn(4, 3, 5, 5))
    assert ordinary == [False]
    assert names[:2] == ["Convolve", "Normalize"]
    assert set(names[2:]) & {"Pointwise", "Scale", "Multiply"}


@pytest.mark.parametrize(
    "function",
    [nn.GELU(), nn.Sigmoid(), LayerScale((1, 6, 1, 1)), lambda x: x * x.mean((2, 3), keepdim=True), lambda x: 2 * x],
)
def test_second_derivatives(function: Callable[[Tensor], Tensor]) -> None:
    found, images = [], torch.randn(4, 3, 5, 5)
    for model in make_pair(lambda: Layers(copy.deepcopy(function))):
        inputs = images.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(model(inputs).square().sum(), inputs, create_graph=True)
        found.append(torch.autograd.grad(gradient.square().sum(), inputs)[0])
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-3 * float(found[1].abs().max()))
