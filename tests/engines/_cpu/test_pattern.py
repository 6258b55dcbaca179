"""Patterns: what is kept, counted and moved."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from rarefy.engines._cpu import KeptIndices, SparseConv2d, SparseLinear


def test_indices_are_the_mask() -> None:
    mask = torch.tensor([[True, False, True], [False, False, True]])
    pattern = KeptIndices(mask)
    assert pattern.indices.tolist() == [0, 2, 5]
    assert pattern.indices.dtype == torch.int32
    assert (pattern.nnz, tuple(pattern.shape)) == (3, (2, 3))
    assert pattern.nbytes == 2 * 3 + 4 * 3, "positions of 16 bits, and where each row starts"
    assert torch.equal(pattern.mask(), mask)
    values = torch.tensor([1.0, 2.0, 3.0])
    assert pattern.scatter(values).tolist() == [[1, 0, 2], [0, 0, 3]]
    assert torch.equal(pattern.gather(pattern.scatter(values)), values)


@pytest.mark.kernels
def test_another_mask_in_place_is_seen_by_the_next_pass() -> None:
    generator = torch.Generator().manual_seed(0)
    module = nn.Conv2d(4, 4, 3)
    images = torch.randn(3, 4, 6, 6, generator=generator)
    first = torch.rand(4, 4, 3, 3, generator=generator) < 0.4
    layer = SparseConv2d.from_dense(module, first)
    layer(images).sum().backward()
    for mask in (first.flip(0), torch.rand(4, 4, 3, 3, generator=generator) < 0.8):
        layer.pattern.replace_(mask)
        layer.values = nn.Parameter(layer.pattern.gather(module.weight.detach()))
        twin = copy.deepcopy(layer)
        torch.testing.assert_close(layer(images), layer.to_dense()(images), rtol=1e-5, atol=1e-5)
        assert torch.equal(twin(images), layer(images))


@pytest.mark.kernels
def test_memory_is_the_kept_weights_and_a_few_integers() -> None:
    module = nn.Conv2d(64, 64, 3, padding=1, bias=False)
    mask = torch.rand(64, 64, 3, 3, generator=torch.Generator().manual_seed(0)) < 0.05
    layer = SparseConv2d.from_dense(module, mask)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    layer(torch.ones(2, 64, 8, 8, requires_grad=True)).sum().backward()
    optimizer.step()
    nnz = int(mask.sum())
    held = [*layer.parameters(), layer.values.grad, *(s["momentum_buffer"] for s in optimizer.state.values())]
    assert sum(tensor.numel() * tensor.element_size() for tensor in held) == 3 * 4 * nnz
    assert 2 * nnz < layer.pattern.nbytes <= 6 * nnz
    layer(torch.ones(2, 64, 12, 12, requires_grad=True)).sum().backward()
    assert layer.pattern.nbytes <= 6 * nnz + 4 * (9 * 65 + 4 * 9), "for two sizes of images, and where rows start"


@pytest.mark.kernels
def test_a_linear_layer_stores_16_bits_per_kept_weight_for_any_number_of_rows() -> None:
    module = nn.Linear(1024, 512, bias=False)
    layer = SparseLinear.from_dense(module, torch.rand(512, 1024, generator=torch.Generator().manual_seed(0)) < 0.05)
    for rows in (1, 40, 256, 1000):
        layer(torch.ones(rows, 1024, requires_grad=True)).sum().backward()
    assert layer.pattern.nbytes < 4 * layer.pattern.nnz


@pytest.mark.kernels
@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Linear(70_000, 3), (5, 70_000)),  # positions above 16 bits
        (nn.Conv2d(7_500, 2, 3, padding=1), (2, 7_500, 3, 3)),
        (nn.Conv2d(2, 3, 3, padding=1), (1, 2, 2, 40_000)),  # offsets above 16 bits
        (nn.Conv2d(1_000, 40, 1), (17, 1_000, 9, 9)),  # 1x1 in several groups of channels in the scratch
    ],
    ids=lambda value: str(value) if isinstance(value, tuple) else type(value).__name__,
)
def test_large_layers_compute_what_dense_ones_do(module: nn.Module, shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(module.weight.shape, generator=generator) < 0.1
    kind = SparseLinear if isinstance(module, nn.Linear) else SparseConv2d
    layer = kind.from_dense(module, mask)
    dense = layer.to_dense()
    inputs = torch.randn(shape, generator=generator)
    found, wanted = inputs.clone().requires_grad_(), inputs.clone().requires_grad_()
    layer(found).square().sum().backward()
    dense(wanted).square().sum().backward()
    torch.testing.assert_close(found.grad, wanted.grad, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(layer.values.grad, dense.weight.grad[mask], rtol=1e-3, atol=1e-3)


def test_wrong_masks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"bool tensor on the CPU; got torch\.float32"):
        KeptIndices(torch.ones(2, 2))
    with pytest.raises(ValueError, match=r"shape \(2, 2\); got \(4,\)"):
        KeptIndices(torch.ones(2, 2, dtype=torch.bool)).replace_(torch.ones(4, dtype=torch.bool))
