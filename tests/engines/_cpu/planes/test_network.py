"""Captured networks compute what torch computes, for every layer that has a kernel, in every grouping of a batch."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import threading

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rarefy.engines._cpu.planes import CaptureError, PlanesNetwork

pytestmark = pytest.mark.kernels


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


class Residual(nn.Module):
    """Sums in every order, in place and not, and a batch norm that no convolution precedes."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = (nn.Conv2d(6, 6, 3, padding=1, bias=False) for _ in range(3))
        self.norms = nn.ModuleList(nn.BatchNorm2d(6) for _ in range(3))
        self.first = nn.BatchNorm2d(6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        y = F.relu(self.norms[0](self.one(x)), inplace=True)
        y = self.norms[1](self.two(y))
        y += x
        z = F.relu6(x + self.norms[2](self.three(F.relu(y))))
        return (z + z).mean((2, 3)) + y.mean((-1, -2))


def flatten(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers, nn.Flatten())


NETWORKS = {
    "3x3": (nn.Conv2d(3, 5, 3, padding=1), (3, 7, 9)),
    "valid": (nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 4, 3)), (3, 9, 8)),
    "wide padding": (nn.Conv2d(2, 3, 3, padding=2), (2, 5, 6)),
    "5x5 and 1x1": (nn.Sequential(nn.Conv2d(3, 4, 5, padding=2), nn.Conv2d(4, 6, 1)), (3, 8, 8)),
    "1x3": (nn.Conv2d(3, 4, (1, 3), padding=(0, 1)), (3, 6, 5)),
    "dilated": (nn.Conv2d(3, 4, 3, padding=2, dilation=2), (3, 8, 7)),
    "stride 2": (nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.Conv2d(4, 4, 1, stride=2)), (3, 9, 11)),
    "stride 3": (nn.Conv2d(2, 3, 5, stride=3, padding=2), (2, 11, 10)),
    "7x7 stride 2": (nn.Conv2d(3, 4, 7, stride=2, padding=3), (3, 16, 16)),
    "grouped": (nn.Conv2d(6, 4, 3, padding=1, groups=2), (6, 6, 6)),
    "depthwise": (nn.Sequential(nn.Conv2d(6, 6, 3, padding=1, groups=6, stride=2), nn.ReLU6()), (6, 8, 8)),
    "max pooling": (nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.MaxPool2d(2), nn.MaxPool2d(3, 1)), (3, 12, 10)),
    "padded max pooling": (nn.Sequential(nn.ReLU(), nn.MaxPool2d(3, 2, 1)), (3, 9, 8)),
    "average pooling": (nn.Sequential(nn.AvgPool2d(2), nn.AvgPool2d(3, 1, 1)), (3, 8, 8)),
    "flattened": (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 7)), (3, 8, 8)),
    "global pooling": (flatten(nn.Conv2d(3, 20, 3), nn.AdaptiveAvgPool2d(1), nn.Conv2d(20, 5, 1)), (3, 8, 8)),
    "1 pixel": (flatten(nn.AdaptiveAvgPool2d(1), nn.Conv2d(3, 5, 3, padding=1)), (3, 4, 4)),
    "to 1 pixel": (nn.Sequential(nn.Conv2d(3, 6, 4), nn.ReLU(), nn.Flatten(), nn.Linear(6, 2)), (3, 4, 4)),
    "ends with 1 pixel": (nn.Conv2d(3, 20, 3), (3, 3, 3)),
    "wide perceptron": (nn.Sequential(nn.Flatten(), nn.Linear(150, 40), nn.ReLU(), nn.Linear(40, 21)), (6, 5, 5)),
    "perceptron": (nn.Sequential(nn.Flatten(), nn.Linear(48, 33), nn.ReLU(), nn.Linear(33, 5, bias=False)), (3, 4, 4)),
    "features": (nn.Sequential(nn.Linear(9, 40), nn.BatchNorm1d(40), nn.Hardtanh(-0.5, 0.7), nn.Linear(40, 3)), (9,)),
    "residual": (Residual(), (6, 5, 5)),
    "1 column": (nn.Conv2d(3, 4, 3, padding=1), (3, 8, 1)),
}


@pytest.fixture(params=NETWORKS)
def network_and_shape(request) -> tuple[nn.Module, tuple[int, ...]]:
    """Statistics and affine values that are not those of the beginning, and zeros among the weights."""
    model, shape = copy.deepcopy(NETWORKS[request.param])
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            if tensor.is_floating_point():
                tensor.uniform_(0.2, 1.5, generator=generator)
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.weight.sub_(0.8).mul_(torch.rand(module.weight.shape, generator=generator) < 0.6)
    return model.eval(), shape


def test_outputs_are_those_of_torch(network_and_shape) -> None:
    model, shape = network_and_shape
    network = PlanesNetwork.capture(model, torch.zeros(4, *shape))
    for images in (1, 5, 18):
        inputs = noise(images, *shape)
        with torch.no_grad():
            expected = model(inputs)
        for group in (1, 4, 16):
            out = torch.full_like(expected, float("nan"))
            for _ in range(2):  # the second call finds the memory of the first one
                network.predict(inputs, group, out)
            torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)


def test_bits_are_the_same_for_any_number_of_threads(monkeypatch) -> None:
    model, shape = NETWORKS["residual"]
    network, results = PlanesNetwork.capture(model.eval(), torch.zeros(1, *shape)), []
    for threads in (1, 2, 7):
        monkeypatch.setattr("rarefy.engines._cpu.planes._network.count_threads", lambda n=threads: n)
        results.append(torch.empty(9, 6))
        network.predict(noise(9, *shape), 2, results[-1])
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_stays_so_and_stays_in_its_image(value) -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 3, 3, padding=1, stride=2)).eval()
    network, inputs = PlanesNetwork.capture(model, torch.zeros(1, 2, 6, 6)), noise(3, 2, 6, 6)
    inputs[1, 0, 5, 5] = value
    with torch.no_grad():
        expected = model(inputs)
    for group in (1, 4):
        out = torch.empty_like(expected)
        network.predict(inputs, group, out)
        assert torch.equal(out.isfinite(), expected.isfinite())
        torch.testing.assert_close(out[[0, 2]], expected[[0, 2]])
        network.predict(inputs.nan_to_num(0, 0, 0), group, out)
        assert out.isfinite().all(), "nothing of it stays in the memory"


def test_in_threads_pickled_and_in_another_process() -> None:
    model, shape = NETWORKS["flattened"]
    network, inputs = PlanesNetwork.capture(model.eval(), torch.zeros(1, *shape)), noise(3, *shape)
    with torch.no_grad():
        expected = model(inputs)
    results = []

    def predict(one: PlanesNetwork) -> None:
        out = torch.empty_like(expected)
        for _ in range(20):
            one.predict(inputs, 1, out)
        results.append(out)

    copies = [network, copy.deepcopy(network), pickle.loads(pickle.dumps(network))]
    threads = [threading.Thread(target=predict, args=(one,)) for one in copies * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    for result in results:
        torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_in_a_forked_process() -> None:
    model, shape = NETWORKS["flattened"]
    network, inputs = PlanesNetwork.capture(model.eval(), torch.zeros(1, *shape)), noise(4, *shape)
    with torch.no_grad():
        expected = model(inputs)
    network.predict(inputs, 1, torch.empty_like(expected))
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()

    def predict() -> None:
        out = torch.empty_like(expected)
        network.predict(inputs, 1, out)
        queue.put(out.tolist())

    process = context.Process(target=predict)
    process.start()
    process.join(60)
    assert process.exitcode == 0
    torch.testing.assert_close(torch.tensor(queue.get()), expected, rtol=1e-5, atol=1e-5)


class Looks(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class Draws(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand_like(x)


class Counts(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.relu() if len(x) == 2 else x


class Writes(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x.relu()
        view = y.view(len(x), -1)
        y.add_(x)
        return view


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


def make_hooked() -> nn.Module:
    model = nn.Sequential(nn.ReLU())
    model[0].register_forward_hook(lambda *_: None)
    return model


@pytest.mark.parametrize(
    "model",
    [
        Looks(), Draws(), Counts(), Writes(), Pair(), make_hooked(), nn.Sigmoid(), nn.ConvTranspose2d(3, 3, 3),
        nn.MaxPool2d(3, 2, 1), nn.Conv2d(3, 3, 3, stride=(1, 2)), nn.AdaptiveAvgPool2d(3), nn.Unflatten(1, (3, 1)),
        nn.BatchNorm2d(3, track_running_stats=False), nn.AvgPool2d(2, ceil_mode=True), nn.Linear(6, 6),
    ],
    ids=lambda model: type(model).__name__,
)  # fmt: skip
def test_what_cannot_be_captured_is_refused(model) -> None:
    with pytest.raises(CaptureError):
        PlanesNetwork.capture(model.eval(), torch.zeros(1, 3, 6, 6))
