"""A linear layer over rows computes what torch's does, for any number of rows and axes before them."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

from rarefy.engines import compile_inference
from rarefy.engines._cpu.planes import PlanesLinear
from rarefy.sparsity import sparsify

pytestmark = pytest.mark.kernels


@pytest.fixture
def layer() -> nn.Linear:
    layer = nn.Linear(37, 19)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(1)
        layer.weight.copy_(torch.randn(19, 37, generator=generator) * (torch.rand(19, 37, generator=generator) < 0.2))
    return layer


@pytest.mark.parametrize("shape", [(37,), (1, 37), (5, 37), (2, 23, 37), (3, 5, 7, 37), (600, 37)], ids=str)
def test_outputs_are_those_of_torch(layer, shape) -> None:
    inputs = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    planes = PlanesLinear(copy.deepcopy(layer))
    with torch.no_grad():
        torch.testing.assert_close(planes(inputs), layer(inputs), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(pickle.loads(pickle.dumps(planes))(inputs), planes(inputs))


def test_any_number_of_sizes(layer) -> None:
    planes = PlanesLinear(copy.deepcopy(layer))
    for count in (*range(1, 300, 23), 1):
        inputs = torch.randn(count, 37, generator=torch.Generator().manual_seed(count))
        torch.testing.assert_close(planes(inputs), layer(inputs).detach(), rtol=1e-5, atol=1e-5)


def test_other_inputs_go_through_the_dense_layer(layer) -> None:
    planes = PlanesLinear(copy.deepcopy(layer))
    transposed = torch.randn(37, 20).T
    torch.testing.assert_close(planes(transposed), layer(transposed).detach(), rtol=1e-5, atol=1e-5)
    assert planes(torch.zeros(0, 37)).shape == (0, 19)
    with torch.autocast("cpu", torch.bfloat16):
        assert planes(torch.zeros(2, 37)).dtype == torch.bfloat16
    with pytest.raises(RuntimeError, match="shapes"):
        planes(torch.zeros(2, 36))


@pytest.mark.parametrize("faster", [PlanesLinear, None])
def test_a_transformer_uses_it_where_it_is_faster(faster, monkeypatch) -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.hidden, self.out = nn.LayerNorm(16), nn.Linear(16, 64), nn.Linear(64, 16)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.out(torch.tanh(self.hidden(self.norm(x))))

    times = iter([2.0, 1.0] if faster else [1.0, 2.0])
    monkeypatch.setattr("rarefy.engines._inference.time_fastest", lambda _: next(times))
    monkeypatch.setattr("rarefy.engines._measure.time_layers", lambda *_: {"hidden.weight": {"dense": 9, "sparse": 1}})
    monkeypatch.setattr(
        "rarefy.engines._measure.time_predictions",
        lambda model, sparsity, plans, inputs: {name: [2.0 if name == "dense" else 1.0] for name in plans},
    )
    model, inputs = Block().eval(), torch.randn(2, 40, 16)
    sparsify(model, density=0.2)
    compiled = compile_inference(model, inputs)
    assert any(isinstance(module, PlanesLinear) for module in compiled.modules()) == (faster is PlanesLinear)
    torch.testing.assert_close(compiled(inputs), model(inputs).detach(), rtol=1e-5, atol=1e-5)
