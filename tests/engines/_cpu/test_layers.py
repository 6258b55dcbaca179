"""Sparse layers against torch's own dense layers in float64, over random shapes, densities and batch sizes."""

from __future__ import annotations

import copy
import math

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from rarefy.engines._cpu import SparseConv2d, SparseLinear

pytestmark = pytest.mark.kernels
TOLERANCE = 1e-5


def difference(ours: Tensor, theirs: Tensor) -> float:
    """Relative to the norm of what it should be."""
    return float((ours.double() - theirs).norm() / theirs.norm().clamp_min(1e-30))


def masked(module: nn.Module, density: float, generator: torch.Generator) -> Tensor:
    mask = torch.rand(module.weight.shape, generator=generator) < density
    mask.view(-1)[int(torch.randint(mask.numel(), (1,), generator=generator))] = True
    return mask


def sparse(module: nn.Module, mask: Tensor) -> SparseConv2d | SparseLinear:
    kind = SparseConv2d if isinstance(module, nn.Conv2d) else SparseLinear
    return kind.from_dense(module, mask)


def agree(module: nn.Module, inputs: Tensor, mask: Tensor, generator: torch.Generator) -> None:
    """Output and every gradient of the sparse layer are those of the dense one with zeros."""
    module = copy.deepcopy(module)  # its bias is shared with the layer, and takes its gradient
    layer = sparse(module, mask)
    dense = copy.deepcopy(layer.to_dense()).double()
    ours, theirs = inputs.clone().requires_grad_(), inputs.double().requires_grad_()
    output, expected = layer(ours), dense(theirs)
    assert output.shape == expected.shape
    slope = torch.randn(expected.shape, generator=generator)
    output.backward(slope)
    expected.backward(slope.double())
    assert difference(output.detach(), expected.detach()) < TOLERANCE
    # a gradient of few weights may be a sum that nearly cancels: as a bound, the size of its terms
    scale = inputs.double().norm() * slope.double().norm() / math.sqrt(inputs.numel())
    assert (layer.values.grad.double() - dense.weight.grad[mask]).norm() < TOLERANCE * (
        dense.weight.grad[mask].norm() + scale
    )
    assert difference(ours.grad, theirs.grad) < TOLERANCE
    if layer.bias is not None:
        assert (layer.bias.grad.double() - dense.bias.grad).norm() < TOLERANCE * (dense.bias.grad.norm() + scale)


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[nn.Conv2d, tuple[int, ...]]:
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    kernel, stride, dilation = draw(st.tuples(st.integers(1, 5), st.integers(1, 4))), draw(pair), draw(pair)
    padding = draw(st.one_of(st.tuples(st.integers(0, 4), st.integers(0, 3)), st.sampled_from(["same", "valid"])))
    if padding == "same":
        stride, kernel = (1, 1), tuple(size - 1 + size % 2 for size in kernel)
    inputs, outputs = groups * draw(st.integers(1, 6)), groups * draw(st.integers(1, 6))
    least = [(size - 1) * step + 1 for size, step in zip(kernel, dilation, strict=True)]
    size = [number + draw(st.integers(0, 18)) for number in least]
    batch = draw(st.sampled_from([1, 2, 3, 16, 17, 33]))
    module = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, bias=draw(st.booleans()))
    return module, (batch, inputs, *size)


@hypothesis.settings(max_examples=60)
@hypothesis.given(case=convolutions(), density=st.sampled_from([1e-9, 0.1, 0.4, 1.0]), seed=st.integers(0, 99))
def test_a_sparse_convolution_computes_what_the_dense_one_with_zeros_does(
    case: tuple[nn.Conv2d, tuple[int, ...]], density: float, seed: int
) -> None:
    module, shape = case
    generator = torch.Generator().manual_seed(seed)
    agree(module, torch.randn(shape, generator=generator), masked(module, density, generator), generator)


@hypothesis.settings(max_examples=40)
@hypothesis.given(
    sizes=st.tuples(st.integers(1, 70), st.integers(1, 40)),
    batch=st.sampled_from([1, 3, 16, 17, 128, 131, 257]),
    density=st.sampled_from([1e-9, 0.05, 0.5, 1.0]),
    bias=st.booleans(),
    seed=st.integers(0, 99),
)
def test_a_sparse_linear_layer_computes_what_the_dense_one_with_zeros_does(
    sizes: tuple[int, int], batch: int, density: float, bias: bool, seed: int
) -> None:
    module = nn.Linear(*sizes, bias=bias)
    generator = torch.Generator().manual_seed(seed)
    agree(module, torch.randn(batch, sizes[0], generator=generator), masked(module, density, generator), generator)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Conv2d(700, 24, 3, padding=1), (16, 700, 4, 4)),  # the source does not fit the scratch at once
        (nn.Conv2d(24, 700, 3, padding=1, stride=2), (16, 24, 6, 6)),  # nor the output's gradient
        (nn.Conv2d(40, 24, 3, padding=1), (17, 40, 20, 20)),  # segments for the first cache
        (nn.Conv2d(5, 4, 3, padding=1), (3, 5, 32, 32)),
        (nn.Linear(3000, 20), (256, 3000)),
    ],
)
def test_large_layers_and_any_number_of_threads(module: nn.Module, shape: tuple[int, ...], threads: int) -> None:
    generator = torch.Generator().manual_seed(3)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        agree(module, torch.randn(shape, generator=generator), masked(module, 0.3, generator), generator)
    finally:
        torch.set_num_threads(before)


def test_empty_outputs_and_inputs() -> None:
    generator = torch.Generator().manual_seed(0)
    module = nn.Conv2d(6, 5, 3, padding=1)
    mask = masked(module, 0.5, generator)
    mask[2] = False
    mask[:, 4] = False
    layer = SparseConv2d.from_dense(module, mask)
    images = torch.randn(3, 6, 7, 7, generator=generator, requires_grad=True)
    output = layer(images)
    output.sum().backward()
    torch.testing.assert_close(output[:, 2], module.bias[2].expand(3, 7, 7))
    assert images.grad is not None
    assert not images.grad[:, 4].any()
    agree(module, images.detach(), mask, generator)


def test_input_in_another_layout_or_without_a_batch() -> None:
    generator = torch.Generator().manual_seed(0)
    module = nn.Conv2d(6, 5, 3)
    layer = SparseConv2d.from_dense(module, masked(module, 0.5, generator))
    images = torch.randn(4, 9, 9, 6, generator=generator).permute(0, 3, 1, 2)
    torch.testing.assert_close(layer(images), layer.to_dense()(images), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(layer(images[1]), layer.to_dense()(images[1]), rtol=1e-5, atol=1e-5)
    linear = SparseLinear.from_dense(nn.Linear(6, 2), torch.ones(2, 6, dtype=torch.bool))
    rows = images.permute(0, 2, 3, 1)
    torch.testing.assert_close(linear(rows), linear.to_dense()(rows), rtol=1e-5, atol=1e-5)


def test_float64_passes_gradcheck() -> None:
    generator = torch.Generator().manual_seed(0)
    for module, shape in ((nn.Conv2d(3, 4, 3, stride=2), (2, 3, 5, 5)), (nn.Linear(5, 3), (4, 5))):
        layer = sparse(module.double(), masked(module, 0.5, generator))
        inputs = torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(
            lambda x, values, layer=layer: torch.func.functional_call(layer, {"values": values}, (x,)),
            (inputs, layer.values.detach().requires_grad_()),
        )


def test_a_nan_comes_through() -> None:
    layer = SparseConv2d.from_dense(nn.Conv2d(2, 2, 1), torch.ones(2, 2, 1, 1, dtype=torch.bool))
    images = torch.zeros(1, 2, 4, 4)
    images[0, 0, 1, 2] = math.nan
    assert layer(images).isnan().nonzero().tolist() == [[0, 0, 1, 2], [0, 1, 1, 2]]


def test_gradients_add_up_over_two_uses_and_two_backwards() -> None:
    generator = torch.Generator().manual_seed(0)
    module = nn.Conv2d(4, 4, 3, padding=1)
    layer = SparseConv2d.from_dense(module, masked(module, 0.5, generator))
    dense = copy.deepcopy(layer.to_dense())
    images = torch.randn(5, 4, 6, 6, generator=generator)
    for net in (layer, dense):
        net(net(images).relu()).square().mean().backward()
        net(images).square().mean().backward()
    torch.testing.assert_close(layer.values.grad, dense.weight.grad[layer.pattern.mask()], rtol=1e-4, atol=1e-6)


def test_frozen_values_take_no_gradient_and_images_need_none() -> None:
    module = nn.Conv2d(2, 2, 3)
    module.weight.requires_grad_(False)
    layer = SparseConv2d.from_dense(module, torch.ones(2, 2, 3, 3, dtype=torch.bool))
    images = torch.ones(2, 2, 5, 5)
    layer(images).sum().backward()
    assert not layer.values.requires_grad
    assert layer.values.grad is None
    assert layer.bias is module.bias
    assert module.bias.grad is not None


def test_the_dense_gradient_is_there_when_asked_for() -> None:
    generator = torch.Generator().manual_seed(0)
    for module, shape in ((nn.Conv2d(3, 4, 3), (5, 3, 6, 6)), (nn.Linear(7, 5), (9, 7))):
        layer = sparse(module, masked(module, 0.3, generator))
        dense = copy.deepcopy(layer.to_dense())
        inputs = torch.randn(shape, generator=generator)
        layer(inputs).square().mean().backward()
        assert layer.dense_grad is None
        layer.dense_gradient = True
        layer.zero_grad()
        layer(inputs).square().mean().backward()
        dense(inputs).square().mean().backward()
        torch.testing.assert_close(layer.dense_grad, dense.weight.grad)
        torch.testing.assert_close(layer.values.grad, dense.weight.grad[layer.pattern.mask()])


def test_to_dense_and_back_keeps_every_bit() -> None:
    generator = torch.Generator().manual_seed(0)
    for module in (nn.Conv2d(6, 4, (3, 2), 2, (1, 0), 2, 2, bias=False), nn.Linear(7, 5)):
        mask = masked(module, 0.4, generator)
        layer = sparse(module, mask)
        dense = layer.to_dense()
        assert type(dense) is type(module)
        assert repr(dense) == repr(module)
        assert torch.equal(dense.weight, module.weight * mask)
        assert dense.bias is module.bias
        assert torch.equal(sparse(dense, mask).values, layer.values)


def test_the_same_bits_twice() -> None:
    generator = torch.Generator().manual_seed(0)
    module = nn.Conv2d(16, 16, 3, padding=1)
    layer = SparseConv2d.from_dense(module, masked(module, 0.3, generator))
    images = torch.randn(64, 16, 16, 16, generator=generator, requires_grad=True)
    results = []
    for _ in range(3):
        output = layer(images)
        results.append((output, *torch.autograd.grad(output.square().sum(), [images, layer.values, layer.bias])))
    for again in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(again, results[0], strict=True))


def test_padding_that_is_not_zeros_is_refused() -> None:
    with pytest.raises(ValueError, match="pads with zeros only; got padding_mode='circular'"):
        SparseConv2d.from_dense(nn.Conv2d(1, 1, 3, padding_mode="circular"), torch.ones(1, 1, 3, 3, dtype=torch.bool))
