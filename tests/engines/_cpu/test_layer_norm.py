"""Layer norm over channels in blocks, against the same layers, dense."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .conftest import make_pair

pytestmark = pytest.mark.kernels
CHANNELS = 37
Function = Callable[[Tensor, nn.LayerNorm], Tensor]


class Layers(nn.Module):
    def __init__(self, function: Function, *, affine: bool = True) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, CHANNELS, 3, padding=1), nn.Conv2d(CHANNELS, 4, 1)
        self.norm = nn.LayerNorm(CHANNELS, eps=1e-3, elementwise_affine=affine)
        self.function = function
        if affine:
            with torch.no_grad():
                self.norm.weight.copy_(torch.linspace(-1, 2, CHANNELS))
                self.norm.bias.copy_(torch.linspace(1, -1, CHANNELS))

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.function(self.first(images), self.norm))


def norm_last(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    return norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def write_through_view(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    seen = (x + 1).permute(0, 2, 3, 1)
    seen.mul_(2)
    return seen.permute(0, 3, 1, 2)


def write_below_view(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    y = x + 1
    seen = y.permute(0, 2, 3, 1)
    y.relu_()
    return norm(seen).permute(0, 3, 1, 2) + y


def write_result(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    normed = norm(x.permute(0, 2, 3, 1))
    y = normed.permute(0, 3, 1, 2)
    y.add_(x)
    y.relu_()
    return normed.permute([0, 3, 1, 2]) + y


def flatten_result(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    normed = norm(x.permute(0, 2, 3, 1))
    assert normed.is_contiguous()
    flat = normed.view(len(x), -1, CHANNELS)
    return flat.transpose(1, 2).reshape(x.shape)


def look_at_layout(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    y = x.permute(0, 2, 3, 1)
    assert not y.is_contiguous()
    assert norm_last(x, norm).is_contiguous(memory_format=torch.channels_last)
    return x + y.sin().permute(0, 3, 1, 2) + torch.permute(y, (0, 3, 1, 2))


def hook(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    seen = x.permute(0, 2, 3, 1)
    if seen.requires_grad:
        seen.register_hook(lambda gradient: gradient * 2)
    return norm(seen).permute(0, 3, 1, 2)


FUNCTIONS = [
    norm_last,
    write_through_view,
    write_below_view,
    write_result,
    flatten_result,
    look_at_layout,
    hook,
    lambda x, norm: norm_last(F.relu(x), norm) + x.relu(),
    lambda x, norm: norm_last(F.avg_pool2d(x, 2), norm),
    lambda x, norm: F.relu(x).permute(0, 2, 3, 1).permute(0, 3, 1, 2),
    lambda x, norm: norm(x.permute(0, 2, 3, 1).sin()).permute(0, 3, 1, 2),
    lambda x, norm: x.permute(0, 3, 1, 2).permute(0, 2, 3, 1),
    lambda x, norm: F.gelu(norm_last(x, norm)) * x,
    lambda x, norm: torch.permute(norm(x.permute(dims=(0, 2, 3, 1))), dims=[0, 3, 1, 2]),
    lambda x, norm: x.permute(0, -2, -1, 1).permute(0, 3, 1, 2),
    lambda x, norm: x + norm_last(x.detach(), norm),
    lambda x, norm: norm(x.permute(0, 2, 3, 1) + x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2),
]


def differentiate(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    inputs = images.clone().requires_grad_()
    outputs = model(inputs)
    (outputs * torch.linspace(-1, 2, outputs.numel()).view(outputs.shape)).sum().backward()
    gradients = {name: one.grad for name, one in model.norm.named_parameters() if one.grad is not None}
    return {"outputs": outputs.detach(), "inputs": inputs.grad, "last": model.last.bias.grad, **gradients}


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("affine", [True, False])
def test_functions_give_what_torch_gives(function: Function, affine: bool) -> None:
    sparse, dense = make_pair(lambda: Layers(function, affine=affine))
    images = torch.randn(19, 3, 6, 10)
    found, wanted = differentiate(sparse, images), differentiate(dense, images)
    assert found.keys() == wanted.keys()
    for name, one in wanted.items():
        torch.testing.assert_close(found[name], one, rtol=1e-3, atol=2e-4 * float(one.abs().max()))
    with torch.no_grad():
        torch.testing.assert_close(sparse(images), dense(images), rtol=1e-3, atol=1e-4)


def test_second_derivatives() -> None:
    found, images = [], torch.randn(4, 3, 5, 5)
    for model in make_pair(lambda: Layers(norm_last)):
        inputs = images.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(model(inputs).square().sum(), inputs, create_graph=True)
        found.append(torch.autograd.grad(gradient.square().sum(), inputs)[0])
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-3 * float(found[1].abs().max()))


def test_large_means_do_not_cancel() -> None:
    sparse, dense = make_pair(lambda: Layers(norm_last))
    with torch.no_grad():
        for model in (sparse, dense):
            model.first.bias.add_(1000)
        images = torch.randn(16, 3, 6, 6)
        torch.testing.assert_close(sparse(images), dense(images), rtol=1e-3, atol=1e-2)


def test_nothing_leaves_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    sparse, _ = make_pair(lambda: Layers(norm_last))
    ordinary = []
    monkeypatch.setattr(sparse.last, "forward", lambda x: ordinary.append(type(x) is Tensor) or x)
    packed = []
    monkeypatch.setattr("rarefy.engines._cpu.fusion._values.from_blocked", lambda maps: packed.append(maps))
    monkeypatch.setattr("rarefy.engines._cpu.fusion._scope.to_plain", lambda tensor: tensor)
    sparse(torch.randn(4, 3, 5, 5))
    assert (ordinary, packed) == ([False], [])


@pytest.mark.parametrize("threads", [1, 2, 4, 7])
def test_any_number_of_threads(threads: int) -> None:
    """More threads than cores or than work: right, and the same bits each time."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        sparse, dense = make_pair(
            lambda: Layers(lambda x, norm: F.gelu(norm_last(x, norm)) * x.mean((2, 3), keepdim=True))
        )
        images = torch.randn(19, 3, 6, 10)
        first, second = (differentiate(copy.deepcopy(sparse), images) for _ in range(2))
        wanted = differentiate(dense, images)
    finally:
        torch.set_num_threads(before)
    for name, one in wanted.items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], one, rtol=1e-3, atol=2e-4 * float(one.abs().max()))
