"""The engines run the user's own forward: whatever it does, outputs, gradients and side effects are the masked ones."""

from __future__ import annotations

import copy
import io
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from rarefy.engines import _measure, compile_inference, make_dense_copy, use_engine
from rarefy.errors import InvalidInput
from rarefy.sparsity import Sparsity, sparsify
from rarefy.topology import TOPOLOGIES

pytestmark = pytest.mark.kernels


class Base(nn.Module):
    """Layers that a forward may use as it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.second, self.head = nn.Conv2d(8, 8, 3, padding=1), nn.Linear(8, 4)

    def end(self, hidden: Tensor) -> Tensor:
        return self.head(hidden.mean((2, 3)))


class Between(Base):
    """A module that the kernels do not know between two layers, or that writes in place."""

    def __init__(self, between: nn.Module) -> None:
        super().__init__()
        self.between = between

    def forward(self, images: Tensor) -> Tensor:
        return self.end(self.second(self.between(self.norm(self.first(images)))))


class UnknownBeforeFlatten(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 4, 3), nn.LeakyReLU(), nn.Flatten(), nn.Linear(144, 4))


class Temperature(Base):
    temperature = 1.0

    def forward(self, images: Tensor) -> Tensor:
        self.temperature += 0.5
        hidden = F.relu(self.first(images)) / self.temperature
        return self.end(self.second(hidden) if self.temperature < 2.4 else hidden)


class Randomness(Base):
    def forward(self, images: Tensor) -> Tensor:
        hidden = F.relu(self.first(images))
        hidden = hidden + torch.randn(1) if random.random() < 0.5 else hidden * 2
        hidden = self.second(hidden) + torch.randn_like(hidden)
        if torch.rand(1).item() < 0.5:
            hidden = F.relu(hidden)
        return self.end(F.dropout(hidden, 0.5, self.training))


class Attributes(Base):
    def forward(self, images: Tensor) -> Tensor:
        hidden = self.second(F.relu(self.norm(self.first(images))))
        self.penalty, self.features = hidden.square().mean(), [hidden]
        return self.end(hidden)


class Branch(Base):
    def forward(self, images: Tensor) -> Tensor:
        hidden = self.first(images)
        return self.end(self.second(hidden) if hidden.sum() > hidden.max() else F.relu(hidden))


class InPlace(Base):
    def forward(self, images: Tensor) -> Tensor:
        hidden = self.norm(self.first(images))
        hidden += self.second(hidden.sigmoid())
        hidden.view(hidden.size(0), -1)[:, 0] = 0.5
        other = self.second(hidden)
        same = other
        other.mul_(2)
        same[:, :2] += hidden[:, :2].detach()
        return self.end(other)


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, numbers: Tensor) -> Tensor:
        ctx.save_for_backward(numbers)
        return numbers * numbers

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return 2 * gradient * ctx.saved_tensors[0]


class OwnFunction(Base):
    def forward(self, images: Tensor) -> Tensor:
        hidden = self.first(images)
        return self.end(Square.apply(self.norm(hidden)) + self.second(hidden))


class Checkpointed(Base):
    reentrant = False

    def forward(self, images: Tensor) -> Tensor:
        hidden = F.relu(self.first(images))
        hidden = checkpoint(lambda part: self.norm(self.second(part)).relu(), hidden, use_reentrant=self.reentrant)
        return self.end(hidden)


class CheckpointedReentrant(Checkpointed):
    reentrant = True


class TensorHooks(Base):
    """Hooks on values in the middle, put on after these were used."""

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.norm(self.first(images))
        positive = F.relu(hidden)
        result = self.end(self.second(positive))
        self.seen: list[Tensor] = []
        if hidden.requires_grad:
            hidden.register_hook(lambda gradient: self.seen.append(gradient.clone()))
            positive.register_hook(lambda gradient: gradient * 2)
            positive.retain_grad()
            self.kept = positive
        return result


class WithoutGradient(Base):
    def forward(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            hidden = F.relu(self.norm(self.first(images)))
        other = self.second(hidden)
        return self.end(other + F.relu(other.detach()) + self.second(other))


class Lists(Base):
    def forward(self, images: Tensor) -> Tensor:
        hidden = self.first(images)
        both = torch.cat([hidden, F.relu(hidden)], 1)[:, :8]
        total = torch.stack([self.second(both), hidden]).sum(0)
        return self.end(total) * float(hidden.detach().numpy().mean()) + hidden.max()


class Autocast(Base):
    def forward(self, images: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            hidden = self.second(F.relu(self.norm(self.first(images))))
        assert hidden.dtype == torch.bfloat16
        return self.end(hidden.float())


class DifferentiatedTwice(Base):
    def forward(self, images: Tensor) -> Tensor:
        result = self.end(self.second(F.relu(self.norm(self.first(images)))))
        if not result.requires_grad or not images.requires_grad:
            return result
        (gradient,) = torch.autograd.grad(result.square().sum(), images, create_graph=True)
        return result + gradient.square().sum()


class CalledMean(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.mean, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Tanh(), nn.Linear(8, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.mean(self.body(images)).amax((2, 3)))


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
        self.embed, self.head = nn.Linear(3, 16), nn.Linear(16, 4)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(images.flatten(2).transpose(1, 2)[:, :10])).mean(1))


MODULES = (
    nn.LeakyReLU(), nn.GELU(), nn.SiLU(inplace=True), nn.Dropout2d(), nn.GroupNorm(2, 8), nn.AdaptiveAvgPool2d(3),
    nn.ReLU6(inplace=True), nn.ReLU(inplace=True), nn.PReLU(), nn.Upsample(scale_factor=2), nn.InstanceNorm2d(8),
    nn.MaxPool2d(2), nn.AvgPool2d(2), nn.Identity(),
)  # fmt: skip
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    **{kind.__name__: kind for kind in (
        UnknownBeforeFlatten, Temperature, Randomness, Attributes, Branch, InPlace, OwnFunction, Checkpointed,
        CheckpointedReentrant, TensorHooks, WithoutGradient, Lists, Autocast, DifferentiatedTwice, CalledMean, Encoder,
    )},
    **{type(module).__name__: lambda module=module: Between(copy.deepcopy(module)) for module in MODULES},
}  # fmt: skip


@pytest.fixture
def sparse_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes `auto` choose sparse layers wherever they can be had."""
    monkeypatch.setattr(_measure, "time_layers", lambda *_, budget: {})
    monkeypatch.setattr(
        _measure,
        "time_steps",
        lambda m, s, plans, x, budget: {name: [2.0 - bool(layers)] * 3 for name, layers in plans.items()},
    )


def build(name: str, engine: str, topology: str, images: Tensor) -> tuple[nn.Module, Sparsity]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = NETWORKS[name]()
    options = {} if topology == "static" else {"interval": 2}
    rule = TOPOLOGIES.build(topology, **options)
    sparsity = sparsify(model, density=0.5, allocation="uniform", topology=rule, seed=3)
    use_engine(model, sparsity, engine, inputs=images)
    assert bool(sparsity.masked_model.sparse_layers()) == (engine != "masked")
    return model, sparsity


def trained(name: str, engine: str, topology: str, training: bool) -> tuple[list[Tensor], Tensor]:
    """Everything that can be seen of some steps and a prediction, and torch's generator afterwards."""
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    model, sparsity = build(name, engine, topology, images)
    images.requires_grad_()
    optimizer = torch.optim.SGD(model.train(training).parameters(), lr=0.01)
    sparsity.attach(optimizer, steps=10)
    found: list[Tensor] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        random.seed(1)
        for _ in range(3):
            optimizer.zero_grad()
            result = model(images)
            assert type(result) is Tensor
            loss = result.square().sum() + getattr(model, "penalty", 0)
            loss.backward()
            gradients = [] if images.grad is None else [images.grad.clone()]
            optimizer.step()
            found += [result, *gradients, *getattr(model, "seen", []), *getattr(model, "features", [])]
            found += [model.kept.grad] if hasattr(model, "kept") else []
        with torch.no_grad():
            found.append(model.eval()(images))
        state = torch.get_rng_state()
    return [*found, *model.buffers(), *sparsity.dense_weights().values()], state


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    ("engine", "topology", "training"),
    [
        ("cpu", "static", True),
        pytest.param("cpu", "rigl", False, marks=pytest.mark.slow),
        ("auto", "rigl", True),
        pytest.param("auto", "static", False, marks=pytest.mark.slow),
    ],
)
@pytest.mark.filterwarnings(
    "ignore:None of the inputs have requires_grad:UserWarning"
)  # checkpoint's, without gradients
@pytest.mark.usefixtures("sparse_is_faster")
def test_the_same_outputs_gradients_and_side_effects(name: str, engine: str, topology: str, training: bool) -> None:
    state = random.getstate()
    try:
        (wanted, wanted_state), (found, found_state) = (
            trained(name, one, topology, training) for one in ("masked", engine)
        )
    finally:
        random.setstate(state)
    assert len(found) == len(wanted)
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours.detach(), theirs.detach(), rtol=1e-3, atol=1e-4)
    assert torch.equal(found_state, wanted_state)


@pytest.fixture
def pair() -> tuple[nn.Module, nn.Module, Tensor]:
    """(masked, cpu, images) of the same network."""
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    models = [build("ReLU", engine, "static", images)[0].eval() for engine in ("masked", "cpu")]
    return models[0], models[1], images


def test_what_is_replaced_is_used_from_the_next_call_on(pair) -> None:
    masked, model, images = pair
    model(images)
    for one in (masked, model):
        one.norm = nn.BatchNorm2d(8, affine=False).eval()
        one.between = nn.Tanh()
        one.head.bias = nn.Parameter(torch.arange(4.0))
        one.second.stride = (2, 2)
    torch.testing.assert_close(model(images), masked(images), rtol=1e-4, atol=1e-5)


def test_functional_call_and_assigned_states(pair) -> None:
    masked, model, images = pair
    model(images)
    doubled = {name: 2 * value for name, value in model.state_dict().items() if value.is_floating_point()}
    wanted = torch.func.functional_call(masked, {name: 2 * value for name, value in masked.named_parameters()}, images)
    parameters = {name: value for name, value in doubled.items() if name in dict(model.named_parameters())}
    torch.testing.assert_close(torch.func.functional_call(model, parameters, images), wanted, rtol=1e-4, atol=1e-5)
    state = {**model.state_dict(), **parameters}
    model.load_state_dict(state, assign=True)
    torch.testing.assert_close(model(images), wanted, rtol=1e-4, atol=1e-5)


def test_other_types_after_a_pass_in_float32(pair) -> None:
    masked, model, images = pair
    model(images)
    for kind in (torch.float64, torch.bfloat16):
        result = model.to(kind)(images.to(kind))
        assert result.dtype == kind
        torch.testing.assert_close(result, masked.to(kind)(images.to(kind)), rtol=1e-1, atol=1e-1)
    torch.testing.assert_close(model.float()(images), masked.float()(images), rtol=1e-3, atol=1e-3)


def test_threads_that_predict_first_at_the_same_time(pair) -> None:
    masked, model, images = pair
    wanted, found, start = masked(images).detach(), [], threading.Barrier(4)

    def predict() -> None:
        start.wait()
        with torch.no_grad():
            found.extend(model(images) for _ in range(5))

    threads = [threading.Thread(target=predict) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 20
    for result in found:
        torch.testing.assert_close(result, wanted, rtol=1e-4, atol=1e-5)


def test_copies_and_saved_models(pair) -> None:
    _, model, images = pair
    wanted, file = model(images), io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    for other in (twin, torch.load(file, weights_only=False)):
        assert torch.equal(other(images), wanted)
        other(images).sum().backward()


def test_a_layer_offers_its_whole_weight(pair) -> None:
    masked, model, _ = pair
    assert torch.equal(model.second.weight, masked.second.weight)
    assert (model.second.weight.dtype, model.second.weight.requires_grad) == (torch.float32, True)


@pytest.mark.parametrize(
    "write",
    [
        lambda layer: layer.weight.mul_(2),
        lambda layer: layer.weight.data.zero_(),
        lambda layer: layer.weight.__setitem__(0, 1.0),
        lambda layer: nn.init.ones_(layer.weight),
        lambda layer: torch.add(layer.values[0], 1, out=layer.weight),
        lambda layer: setattr(layer, "weight", nn.Parameter(torch.ones(8, 8, 3, 3))),
        lambda layer: setattr(layer, "weight", torch.ones(8, 8, 3, 3)),
    ],
)
def test_the_whole_weight_cannot_be_written(pair, write: Callable[[nn.Module], None]) -> None:
    _, model, images = pair
    before = model(images)
    with torch.no_grad(), pytest.raises(InvalidInput, match=r"rarefy\.use_dense"):
        write(model.second)
    assert torch.equal(model(images), before)
    assert type(model.second.weight * 1) is Tensor


@pytest.mark.filterwarnings("ignore")  # torch calls its older captures deprecated
def test_what_captures_a_model_gets_dense_weights(pair) -> None:
    masked, model, images = pair
    wanted = masked(images)
    for captured in (torch.export.export(model, (images,)).module(), torch.jit.trace(model, images)):
        torch.testing.assert_close(captured(images), wanted, rtol=1e-4, atol=1e-5)
    with pytest.raises(InvalidInput, match=r"rarefy\.use_dense"):
        torch.jit.script(model)


@pytest.mark.filterwarnings("ignore")  # torch calls its older captures deprecated
def test_onnx_gets_dense_weights(pair) -> None:
    pytest.importorskip("onnx", reason="needs the package onnx")
    runtime = pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")
    masked, model, images = pair
    file = io.BytesIO()
    torch.onnx.export(model, (images,), file, dynamo=False)
    session = runtime.InferenceSession(file.getvalue())
    (found,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), masked(images), rtol=1e-4, atol=1e-5)


def test_transforms_of_functions(pair) -> None:
    masked, model, images = pair

    def loss(parameters: dict[str, Tensor], network: nn.Module) -> Tensor:
        return torch.func.functional_call(network, parameters, (images,)).pow(2).sum()

    found, wanted = (torch.func.grad(loss)(dict(net.named_parameters()), net) for net in (model, masked))
    torch.testing.assert_close(found["head.bias"], wanted["head.bias"], rtol=1e-4, atol=1e-4)
    kept = model.second.pattern.gather(wanted["second.weight"])
    torch.testing.assert_close(found["second.values"], kept, rtol=1e-4, atol=1e-4)
    each = torch.func.vmap(lambda image: model(image[None])[0])(images)
    torch.testing.assert_close(each, masked(images), rtol=1e-4, atol=1e-5)


def test_averaged_copies(pair) -> None:
    _, model, images = pair
    average = copy.deepcopy(model)
    with torch.no_grad():
        for own, other in zip(average.parameters(), model.parameters(), strict=True):
            own.lerp_(3 * other, 0.5)
    torch.testing.assert_close(average(images), make_dense_copy(average)(images), rtol=1e-4, atol=1e-5)


def test_a_fused_forward_is_float32_under_autocast_and_layers_alone_are_not(pair) -> None:
    masked, model, images = pair
    outputs = []
    for enabled in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            outputs.append(model(images))
            assert torch.is_autocast_enabled("cpu") == enabled
        outputs[-1].square().sum().backward()
        outputs.append(model.first.values.grad)
    assert torch.equal(outputs[0], outputs[2]) and torch.equal(outputs[1], outputs[3])
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model.first(images), masked.first(images))
        with pytest.raises(RuntimeError):
            model(images[:, :2])
        assert torch.is_autocast_enabled("cpu")
        assert (images.flatten(1) @ images.flatten(1).T).dtype == torch.bfloat16


@pytest.mark.usefixtures("sparse_is_faster")
def test_auto_takes_models_of_several_inputs() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Linear(6, 4), nn.Linear(5, 4)

        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            return self.left(left) + self.right(right)

    model, inputs = Two(), (torch.ones(3, 6), torch.ones(3, 5))
    sparsity = sparsify(model, density=0.5)
    wanted = model(*inputs)
    for sample in (inputs, {"left": inputs[0], "right": inputs[1]}):
        assert use_engine(model, sparsity, "auto", inputs=sample).batch == [3, 6]
        torch.testing.assert_close(model(*inputs), wanted)


def test_auto_leaves_dense_what_it_cannot_measure() -> None:
    class Choosy(nn.Linear):
        def forward(self, rows: Tensor) -> Tensor:
            raise NotImplementedError("not today")

    model = nn.Sequential(nn.Linear(6, 4), Choosy(4, 2))
    plan = use_engine(model, sparsify(model, density=0.5), "auto", inputs=torch.ones(3, 6))
    assert not plan.sparse
    assert "not today" in plan.reason


def test_a_model_for_predictions_runs_its_own_forward(caplog: pytest.LogCaptureFixture) -> None:
    class Noisy(Base):
        def forward(self, images: Tensor) -> Tensor:
            hidden = self.norm(self.first(images)) if random.random() < 0.5 else self.first(images)
            self.norms = hidden.norm()
            return self.end(hidden)

    model = Noisy().eval()
    sparsify(model, density=0.5)
    with caplog.at_level("INFO", "rarefy"):
        compiled = compile_inference(model, torch.ones(2, 3, 8, 8))
    assert "random" in caplog.text
    for seed in range(6):
        state = random.getstate()
        results = []
        for one in (model, compiled):
            random.seed(seed)
            results.append(one(torch.ones(2, 3, 8, 8)).detach())
        random.setstate(state)
        torch.testing.assert_close(*results, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(compiled.norms, model.norms.detach(), rtol=1e-4, atol=1e-5)
