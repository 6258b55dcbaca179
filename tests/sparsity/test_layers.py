"""Which layers are masked, and what is said of those that cannot be or that nobody knows."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

import rarefy
from rarefy.sparsity import sparsify


class Standardised(nn.Conv2d):
    """Weight standardisation, as users write it."""

    def forward(self, inputs: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(inputs, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class Inside(nn.Conv2d):
    """The same, in the method that torch's own forward calls."""

    def _conv_forward(self, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._conv_forward(inputs, weight - weight.mean(), bias)


class Centred(nn.Linear):
    def forward(self, inputs: Tensor) -> Tensor:
        return F.linear(inputs, F.layer_norm(self.weight, self.weight.shape[1:]), self.bias)


class Scaled(nn.Linear):
    """Multiplied by a constant: zeros stay zeros."""

    def forward(self, inputs: Tensor) -> Tensor:
        return F.linear(inputs, self.weight * 0.5, self.bias)


class Same(nn.Conv2d):
    """Pads by hand and convolves with its own weight."""

    def forward(self, inputs: Tensor) -> Tensor:
        return F.conv2d(F.pad(inputs, (1, 1, 1, 1)), self.weight, self.bias, self.stride)


class Gated(nn.Linear):
    """Cannot be called on one tensor."""

    def forward(self, inputs: Tensor, gate: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(inputs) * gate


@pytest.mark.parametrize("layer", [Standardised(3, 8, 3), Inside(3, 8, 3), Centred(8, 4)])
def test_a_weight_that_is_standardised_is_refused(layer: nn.Module) -> None:
    model = nn.Sequential(nn.Linear(4, 4), layer)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(rarefy.RarefyError) as caught:
        sparsify(model, density=0.25)
    assert caught.value.name == "1.weight"  # type: ignore[attr-defined]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert sparsify(model, density=0.25, exclude=[type(layer)]).total == 16


@pytest.mark.parametrize("name", ["StdConv2d", "StdConv2dSame", "ScaledStdConv2d", "ScaledStdConv2dSame"])
def test_the_layers_of_timm(name: str) -> None:
    layers = pytest.importorskip("timm.layers")
    with pytest.raises(rarefy.RarefyError):
        sparsify(nn.Sequential(getattr(layers, name)(3, 8, 3)), density=0.25)
    sparsify(nn.Sequential(layers.Conv2dSame(3, 8, 3)), density=0.25)


@pytest.mark.parametrize("layer", [Scaled(8, 4), Same(3, 8, 3), Gated(8, 4)])
def test_a_forward_of_its_own_is_no_fault(layer: nn.Module) -> None:
    layer.eval()
    state = torch.get_rng_state()
    assert sparsify(nn.Sequential(layer), density=0.25).kept > 0
    assert torch.equal(torch.get_rng_state(), state)
    assert not layer.training


@pytest.mark.parametrize(
    "bad",
    [
        lambda: parametrizations.spectral_norm(nn.Linear(8, 8)),
        lambda: parametrizations.weight_norm(nn.Conv2d(3, 8, 3)),
        lambda: nn.LazyLinear(4),
        lambda: Standardised(3, 8, 3),
    ],
)
@pytest.mark.parametrize("options", [{"exclude": ["bad"]}, {"include": ["good"]}])
def test_what_is_left_out_is_not_looked_at(bad: Any, options: dict[str, list[str]]) -> None:
    model = nn.ModuleDict({"good": nn.Linear(8, 8), "bad": bad()})
    before = {name: value.clone() for name, value in model["bad"].named_buffers()}
    sparsity = sparsify(model, density=0.25, scaled=True, **options)
    assert (sparsity.total, sparsity.kept) == (64, 16)
    assert all(torch.equal(value, before[name]) for name, value in model["bad"].named_buffers())
    optimizer = torch.optim.SGD([*model["good"].parameters()], lr=0.1)
    sparsity.attach(optimizer)
    model["good"](torch.randn(2, 8)).sum().backward()
    optimizer.step()
    assert int(model["good"].weight.count_nonzero()) == 16
    with pytest.raises(ValueError, match="bad"):
        sparsify(model, density=0.25)


class Experts(nn.Module):
    """Matrices that no layer type knows."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Parameter(torch.randn(4, 8, 16))
        self.down = nn.Parameter(torch.randn(4, 16, 8))
        self.scale = nn.Parameter(torch.ones(8))


class Mixture(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.experts, self.head = Experts(), nn.Linear(8, 2)


def test_further_weights_are_named_in_include(tmp_path: Any, caplog: pytest.LogCaptureFixture) -> None:
    model = Mixture()
    with caplog.at_level(logging.WARNING, "rarefy"):
        assert list(sparsify(Mixture(), density=0.25).masks) == ["head.weight"]
    assert "experts.up, experts.down" in caplog.text  # most weights would stay dense
    sparsity = sparsify(model, density=0.25, include=["*", "experts.*"], exclude=["experts.down"], allocation="uniform")
    assert list(sparsity.masks) == ["head.weight", "experts.up"]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    sparsity.attach(optimizer)
    sum(weight.square().sum() for weight in model.parameters()).backward()  # type: ignore[union-attr]
    optimizer.step()
    assert int(model.experts.up.count_nonzero()) == 128
    assert int(model.experts.down.count_nonzero()) == 512
    rarefy.save(model, sparsity, tmp_path / "model")
    again = Mixture()
    assert rarefy.load(again, tmp_path / "model").masks == sparsity.masks
    assert torch.equal(again.experts.up, model.experts.up)
    for wrong in ("experts.scale", "nothing"):
        with pytest.raises(ValueError, match=wrong):
            sparsify(Mixture(), density=0.25, include=["*", wrong])


class Words(nn.Module):
    def __init__(self, *, sparse: bool) -> None:
        super().__init__()
        self.table = nn.Embedding(30, 8, sparse=sparse)
        self.head = nn.Linear(8, 4)

    def forward(self, words: Tensor) -> Tensor:
        return self.head(self.table(words))


@pytest.mark.parametrize("topology", ["static", "set", "rigl", "top_kast"])
def test_an_embedding_with_sparse_gradients_trains_as_with_dense_ones(topology: str) -> None:
    found = []
    for sparse in (False, True):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = Words(sparse=sparse)
        options = {} if topology == "static" else {"interval": 2}
        moves = rarefy.TOPOLOGIES.build(topology, **options)
        sparsity = sparsify(model, density=0.25, embeddings=True, topology=moves)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        sparsity.attach(optimizer, steps=100)
        for step in range(6):
            words = torch.randint(30, (12,), generator=torch.Generator().manual_seed(step))
            optimizer.zero_grad()
            model(words).square().mean().backward()
            if step == 3:
                sparsity.mask_gradients_()
            optimizer.step()
            assert not any(w[~sparsity.masks[name]].any() for name, w in sparsity.weights().items())
        found.append((sparsity.masks, sparsity.dense_weights()))
    assert found[0][0] == found[1][0]
    for name, weight in found[0][1].items():
        torch.testing.assert_close(weight, found[1][1][name])


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")  # Adagrad's own
@pytest.mark.parametrize("make", [torch.optim.SparseAdam, torch.optim.Adagrad])
def test_optimizers_of_sparse_gradients(make: Any) -> None:
    model = nn.Sequential(nn.Embedding(30, 8, sparse=True))
    sparsity = sparsify(model, density=0.25, embeddings=True, topology=rarefy.TOPOLOGIES.build("rigl", interval=2))
    optimizer = make(model.parameters(), lr=0.1)
    sparsity.attach(optimizer, steps=100)
    for step in range(6):
        optimizer.zero_grad()
        model(torch.arange(step, step + 12)).square().mean().backward()
        optimizer.step()
    assert sparsity.updates == 3
    assert not model[0].weight[~sparsity.masks["0.weight"]].any()
