"""Layers in which consecutive outputs or inputs share what they keep, against torch's dense layers in float64."""

from __future__ import annotations

import copy
import math

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from rarefy.engines._cpu import KeptIndices, SparseConv2d, SparseLinear
from rarefy.engines._cpu.kernels._threads import KernelCall, observe_kernels

pytestmark = [pytest.mark.kernels, pytest.mark.timeout(600)]  # each size of groups compiles kernels of its own
AXES = pytest.mark.parametrize("axis", [0, 1], ids=["outputs", "inputs"])
SIZES = [8, 16, pytest.param(4, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)]
TOLERANCE = 1e-5


def draw_mask(module: nn.Module, together: int, density: float, generator: torch.Generator, axis: int = 0) -> Tensor:
    """Draws positions for each `together` consecutive outputs (axis 0) or inputs; the last group may have fewer."""
    shape = list(module.weight.shape)
    count = shape[axis]
    shape[axis] = -(-count // together)
    shared = torch.rand(shape, generator=generator) < density
    shared.view(-1)[0] = True
    return shared.repeat_interleave(together, axis).narrow(axis, 0, count)


def make_sparse(module: nn.Module, mask: Tensor) -> SparseConv2d | SparseLinear:
    """Makes the sparse layer of a dense one."""
    kind = SparseConv2d if isinstance(module, nn.Conv2d) else SparseLinear
    return kind.from_dense(module, mask)


def check_against_dense(module: nn.Module, shape: tuple[int, ...], mask: Tensor, generator: torch.Generator) -> None:
    """Checks output and every gradient; a gradient that nearly cancels is measured by the size of its terms."""
    layer = make_sparse(copy.deepcopy(module), mask)
    dense = copy.deepcopy(layer.to_dense()).double()
    inputs = torch.randn(shape, generator=generator)
    ours, theirs = inputs.clone().requires_grad_(), inputs.double().requires_grad_()
    output, expected = layer(ours), dense(theirs)
    slope = torch.randn(expected.shape, generator=generator)
    output.backward(slope)
    expected.backward(slope.double())
    terms = inputs.double().norm() * slope.double().norm() / math.sqrt(inputs.numel())
    pairs = [(output, expected), (ours.grad, theirs.grad), (layer.values.grad, dense.weight.grad[mask])]
    if layer.bias is not None:
        pairs.append((layer.bias.grad, dense.bias.grad))
    for found, wanted in pairs:
        assert found.shape == wanted.shape
        assert (found.double() - wanted).norm() <= TOLERANCE * (wanted.norm() + terms)


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[nn.Conv2d, tuple[int, ...]]:
    groups = draw(st.sampled_from([1, 1, 1, 2]))
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    strides = st.one_of(st.just((1, 1)), pair)  # groups of inputs have kernels for steps of one pixel
    kernel, stride, dilation = draw(st.tuples(st.integers(1, 4), st.integers(1, 3))), draw(strides), draw(pair)
    padding = draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
    inputs, outputs = groups * draw(st.integers(1, 19)), groups * draw(st.integers(1, 19))
    least = [(size - 1) * step + 1 for size, step in zip(kernel, dilation, strict=True)]
    size = [number + draw(st.integers(0, 18)) for number in least]
    module = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, bias=draw(st.booleans()))
    return module, (draw(st.sampled_from([1, 3, 16, 17, 33])), inputs, *size)


@AXES
@pytest.mark.parametrize("together", SIZES)
@hypothesis.settings(max_examples=30)
@hypothesis.given(case=convolutions(), density=st.sampled_from([0.1, 0.4]), seed=st.integers(0, 99))
def test_a_convolution_in_groups_computes_what_the_dense_one_with_zeros_does(
    axis: int, together: int, case: tuple[nn.Conv2d, tuple[int, ...]], density: float, seed: int
) -> None:
    module, shape = case
    generator = torch.Generator().manual_seed(seed)
    check_against_dense(module, shape, draw_mask(module, together, density, generator, axis), generator)


@AXES
@pytest.mark.parametrize("together", SIZES)
@hypothesis.settings(max_examples=20)
@hypothesis.given(
    sizes=st.tuples(st.integers(1, 70), st.integers(1, 40)),
    batch=st.sampled_from([1, 3, 17, 131, 257]),
    seed=st.integers(0, 99),
)
def test_a_linear_layer_in_groups_computes_what_the_dense_one_with_zeros_does(
    axis: int, together: int, sizes: tuple[int, int], batch: int, seed: int
) -> None:
    module, generator = nn.Linear(*sizes), torch.Generator().manual_seed(seed)
    check_against_dense(module, (batch, sizes[0]), draw_mask(module, together, 0.2, generator, axis), generator)


@AXES
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Conv2d(700, 24, 3, padding=1), (16, 700, 4, 4)),  # the source does not fit the scratch at once
        (nn.Conv2d(24, 700, 3, padding=1, stride=2), (16, 24, 6, 6)),  # nor the output's gradient
        (nn.Conv2d(24, 700, 3, padding=1), (16, 24, 4, 4)),
        (nn.Conv2d(40, 20, 3, padding=1), (17, 40, 20, 20)),  # several tiles of rows, a smaller last group
        (nn.Linear(3000, 20), (256, 3000)),
    ],
)
def test_large_layers_and_any_number_of_threads(
    axis: int, module: nn.Module, shape: tuple[int, ...], threads: int
) -> None:
    generator = torch.Generator().manual_seed(3)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        check_against_dense(module, shape, draw_mask(module, 8, 0.3, generator, axis), generator)
    finally:
        torch.set_num_threads(before)


@AXES
def test_a_few_weights_beside_the_groups_change_no_result(axis: int) -> None:
    generator = torch.Generator().manual_seed(0)
    module = nn.Conv2d(24, 24, 3, padding=1)
    mask = draw_mask(module, 8, 0.2, generator, axis)
    by_group = mask.movedim(axis, 0).reshape(3, 8, -1)
    by_group[1, 3:, by_group[1].all(0).nonzero()[0]] = False  # the rest of a budget that is no multiple of 8
    mask = by_group.view(24, 24, 3, 3).movedim(0, axis).contiguous()
    assert KeptIndices(mask).find_groups((8, 4, 2)) is not None
    check_against_dense(module, (17, 24, 9, 9), mask, generator)


@AXES
def test_all_three_products_take_the_kernels_for_groups(axis: int) -> None:
    generator, names = torch.Generator().manual_seed(0), set()

    def run(call: KernelCall) -> None:
        names.add(call.name)
        call.run()

    module = nn.Conv2d(16, 24, 3, padding=1)
    layer = make_sparse(module, draw_mask(module, 8, 0.2, generator, axis))
    with observe_kernels(run):
        layer(torch.randn(17, 16, 9, 9, generator=generator, requires_grad=True)).sum().backward()
        layer(torch.randn(17, 16, 9, 9, generator=generator)).sum().backward()  # the input takes no gradient
    assert {"convolve_groups", "scatter_groups", "correlate_groups"} <= names
    assert not names & {"convolve", "correlate", "transpose"}


@AXES
@pytest.mark.parametrize("together", [2, 4, 8])
def test_groups_are_found_and_only_groups(axis: int, together: int) -> None:
    generator = torch.Generator().manual_seed(0)
    module = nn.Conv2d(32, 64, 3)
    groups = KeptIndices(draw_mask(module, together, 0.1, generator, axis)).find_groups((8, 4, 2))
    assert groups is not None
    assert (groups.slots is not None) == (axis == 1)
    assert groups.together == together
    assert KeptIndices(torch.rand(64, 32, 3, 3, generator=generator) < 0.1).find_groups((8, 4, 2)) is None


def test_a_moved_mask_is_seen_by_the_next_pass() -> None:
    generator = torch.Generator().manual_seed(0)
    module = nn.Conv2d(8, 16, 3)
    images = torch.randn(3, 8, 6, 6, generator=generator)
    layer = SparseConv2d.from_dense(module, draw_mask(module, 8, 0.3, generator))
    layer(images).sum().backward()
    for together, density, axis in ((8, 0.3, 0), (1, 0.3, 0), (8, 0.3, 1), (16, 0.5, 0), (4, 0.2, 1)):
        mask = draw_mask(module, together, density, generator, axis)
        layer.pattern.replace_(mask)
        layer.values = nn.Parameter(layer.pattern.gather(module.weight.detach()))
        torch.testing.assert_close(layer(images), layer.to_dense()(images), rtol=1e-5, atol=1e-5)


@AXES
@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_bits_twice(axis: int, threads: int) -> None:
    generator = torch.Generator().manual_seed(0)
    module = nn.Conv2d(16, 20, 3, padding=1)
    layer = make_sparse(module, draw_mask(module, 8, 0.3, generator, axis))
    images = torch.randn(64, 16, 16, 16, generator=generator, requires_grad=True)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        results = []
        for _ in range(2):
            output = layer(images)
            results.append((output, *torch.autograd.grad(output.square().sum(), [images, layer.values, layer.bias])))
        assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    finally:
        torch.set_num_threads(before)


def test_a_layer_that_keeps_nearly_every_weight_has_no_groups() -> None:
    mask = torch.ones(16, 3, 3, 3, dtype=torch.bool)
    mask[3, 1, 2, 0] = False
    assert KeptIndices(mask).find_groups((8, 4, 2)) is None
