"""Networks that keep their own forward: batch norm folded, and sparse only where that is faster."""

from __future__ import annotations

import copy
import io
import logging
import threading

import pytest
import torch
from torch import Tensor, nn

from rarefy.engines import ForwardChanged, _measure, compile_inference, use_engine
from rarefy.engines._cpu.planes import CaptureError, PlanesNetwork
from rarefy.sparsity import sparsify

pytestmark = pytest.mark.kernels


def images(count: int) -> Tensor:
    return torch.randn(count, 3, 6, 6, generator=torch.Generator().manual_seed(count))


@pytest.fixture(autouse=True)
def own_forward(monkeypatch) -> None:
    """Keeps networks from being captured."""

    def refuse(*_: object) -> None:
        raise CaptureError("not in this test")

    monkeypatch.setattr(PlanesNetwork, "capture", refuse)


@pytest.fixture(params=["dense", "sparse"])
def faster(request, monkeypatch) -> str:
    """Which is said to be faster."""

    def whole(model, sparsity, plans, sample):
        return {name: [2.0] for name in plans} | {"all": [1.0 if request.param == "sparse" else 2.0], "dense": [1.5]}

    monkeypatch.setattr(_measure, "time_layers", lambda *_: {"conv1.weight": {"dense": 1.0, "sparse": 9.0}})
    monkeypatch.setattr(_measure, "time_predictions", whole)
    return request.param


@pytest.mark.parametrize("engine", ["masked", "cpu"])
@pytest.mark.parametrize("size", [1, 5, 256])
def test_outputs_are_those_of_the_network_in_evaluation_mode(trained_network, faster, engine, size):
    model, sparsity = trained_network
    wanted = {count: model.eval()(images(count)).detach() for count in (size, 3)}
    model.train()
    use_engine(model, sparsity, engine, inputs=images(4))
    compiled = compile_inference(model, images(size))
    for count, outputs in wanted.items():
        found = compiled(images(count))
        assert not found.requires_grad
        torch.testing.assert_close(found, outputs, rtol=1e-5, atol=1e-5)
    sparse = [module for module in compiled.modules() if "Sparse" in type(module).__name__]
    assert bool(sparse) == (faster == "sparse")
    assert model.training, "the network itself is left as it is"
    assert bool(sparsity.masked_model.sparse_layers()) == (engine == "cpu")


def test_batch_norm_is_folded_away(trained_network, faster):
    compiled = compile_inference(trained_network[0], images(4))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in compiled.modules())


def test_batch_norm_stays_where_folding_would_be_wrong(faster):
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)
            self.shared, self.own, self.batchwise = nn.BatchNorm2d(3), nn.BatchNorm2d(3), nn.BatchNorm2d(3)
            self.batchwise = nn.BatchNorm2d(3, track_running_stats=False)
            self.other = nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            y = self.own(y) + y  # the convolution's output has two uses
            y = self.batchwise(self.other(y))
            return self.shared(self.shared(y)).mean(dim=(2, 3))

    model = Net()
    model(images(8))
    sparsify(model, density=0.4, allocation="uniform")
    compiled = compile_inference(model, images(4))
    torch.testing.assert_close(compiled(images(4)), model.eval()(images(4)), rtol=1e-5, atol=1e-5)


def test_a_network_that_cannot_be_traced_is_compiled_without_folding(faster, caplog):
    class Choosy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = nn.Linear(8, 8)
            self.norm = nn.BatchNorm1d(8)

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(self.hidden(x)) if x.sum() > 0 else x

    model = Choosy()
    sparsify(model, density=0.4)
    inputs = torch.rand(4, 8)
    with caplog.at_level(logging.INFO, "rarefy"):
        compiled = compile_inference(model, inputs)
    assert "cannot be traced" in caplog.text
    torch.testing.assert_close(compiled(inputs), model.eval()(inputs))
    torch.testing.assert_close(compiled(-inputs), -inputs)


class Optional(nn.Module):
    """A batch norm, and a second use of its layer's output, that attributes turn on and off."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 4)
        self.normalizes, self.adds = True, False

    def forward(self, x: Tensor) -> Tensor:
        y = hidden = self.conv(x)
        if self.normalizes:
            y = self.norm(hidden)
        if self.adds:
            y = self.norm(self.conv(x)) + y
        return self.head(y.relu().mean((2, 3)))


@pytest.mark.parametrize("change", [{"normalizes": False}, {"normalizes": False, "adds": True}], ids=str)
def test_a_forward_that_goes_another_way_is_refused(faster, change) -> None:
    model = Optional()
    model(images(8))  # statistics of its own
    sparsify(model, density=0.4)
    compiled = compile_inference(model, images(4))
    for name, value in change.items():
        setattr(compiled, name, value)
    with pytest.raises(ForwardChanged) as caught:
        compiled(images(4))
    assert (caught.value.layer, caught.value.norm) == ("conv", "norm")
    for name in change:
        setattr(compiled, name, getattr(model, name))
    torch.testing.assert_close(compiled(images(4)), model.eval()(images(4)), rtol=1e-5, atol=1e-5)


def test_a_compiled_network_in_copies_and_threads(trained_network, faster) -> None:
    compiled = compile_inference(trained_network[0], images(4))
    wanted, found = compiled(images(4)), []
    file = io.BytesIO()
    torch.save(compiled, file)
    file.seek(0)
    copies = [compiled, copy.deepcopy(compiled), torch.load(file, weights_only=False)]
    threads = [threading.Thread(target=lambda one=one: found.append(one(images(4)))) for one in copies * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 12
    for result in found:
        torch.testing.assert_close(result, wanted, rtol=1e-5, atol=1e-6)


def test_without_numba_it_is_dense_and_warns(trained_network, no_numba, caplog):
    model, _ = trained_network
    with caplog.at_level(logging.WARNING, "rarefy"):
        compiled = compile_inference(model, images(4))
    assert "pip install numba" in caplog.text
    torch.testing.assert_close(compiled(images(4)), model.eval()(images(4)), rtol=1e-5, atol=1e-5)


def test_a_network_without_layers_is_left_alone():
    compiled = compile_inference(nn.Sequential(nn.Flatten()), images(2))
    assert torch.equal(compiled(images(2)), images(2).flatten(1))
