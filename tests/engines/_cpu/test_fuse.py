"""Whole networks, fused, against the same networks with masked dense layers."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import rarefy
from rarefy import models
from rarefy.engines._cpu import SparseConv2d, SparseLinear, fuse, unfuse
from rarefy.engines._cpu.fusion import _functions

pytestmark = pytest.mark.kernels


def swap(model: nn.Module, masks: dict[str, Tensor]) -> nn.Module:
    """A copy of a model with sparse layers where the mask prunes anything."""
    model = copy.deepcopy(model)
    for name, mask in masks.items():
        path, _, leaf = name.removesuffix(".weight").rpartition(".")
        parent = model.get_submodule(path)
        module = getattr(parent, leaf)
        if not mask.all():
            kind = SparseConv2d if isinstance(module, nn.Conv2d) else SparseLinear
            parent._modules[leaf] = kind.from_dense(module, mask)
    return model


def network(name: str, density: float = 0.2, size: int = 16) -> tuple[nn.Module, nn.Module, dict[str, Tensor]]:
    """(masked, sparse, masks)."""
    generator = torch.Generator().manual_seed(17)
    model = models.build(models.parse(name), size=(size, size), generator=generator)
    masks = dict(rarefy.sparsify(model, density=density, seed=17).masks)
    return model, swap(model, masks), masks


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The operations that were computed in blocks, in order."""
    names: list[str] = []
    record_operation = _functions.record_operation

    def note(operation: object, *tensors: Tensor | None, written: bool = False) -> Tensor:
        names.append(type(operation).__name__)
        return record_operation(operation, *tensors, written=written)

    monkeypatch.setattr(_functions, "record_operation", note)
    return names


def same(ours: Tensor, theirs: Tensor, tolerance: float = 2e-5) -> bool:
    return bool((ours - theirs).norm() <= tolerance * theirs.norm() + 1e-4)  # some gradients are exactly 0


def compare(masked: nn.Module, sparse: nn.Module, masks: dict[str, Tensor], images: Tensor) -> None:
    """Outputs, gradients of parameters and images, and buffers. A smooth loss: no ReLU decides at a rounding error."""
    ours, theirs = images.clone().requires_grad_(), images.clone().requires_grad_()
    output, expected = sparse(ours), masked(theirs)
    assert same(output, expected)
    target = torch.randn(expected.shape, generator=torch.Generator().manual_seed(9))
    (output - target).square().sum().backward()
    (expected - target).square().sum().backward()
    assert ours.grad is not None
    assert theirs.grad is not None
    assert same(ours.grad, theirs.grad)
    wanted = {name: parameter.grad for name, parameter in masked.named_parameters()}
    for name, parameter in sparse.named_parameters():
        dense = name.removesuffix("values") + "weight" if name.endswith("values") else name
        gradient = wanted[dense]
        assert gradient is not None
        assert parameter.grad is not None
        assert same(parameter.grad, gradient[masks[dense]] if name.endswith("values") else gradient), name
    for buffer, other in zip(sparse.buffers(), masked.buffers(), strict=True):
        torch.testing.assert_close(buffer, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("name", "batch"), [("cifar_resnet_8_4", 17), ("vgg11", 3), ("mlp_40_24", 37)])
def test_fused_networks_compute_the_same(name: str, batch: int, training: bool, recorded: list[str]) -> None:
    masked, sparse, masks = network(name)
    images = torch.randn(batch, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    masked.train(training)
    sparse.train(training)
    names = list(sparse.state_dict())
    fuse(sparse)
    if "vgg" in name:  # hundreds of thousands of ReLUs: in float32 some decide by a rounding error
        assert same(sparse(images), masked(images))
    else:
        compare(masked, sparse, masks, images)
    layers = [module for module in sparse.modules() if isinstance(module, SparseConv2d | SparseLinear)]
    assert recorded.count("Convolve") >= len(layers)
    assert recorded.count("Normalize") == sum(isinstance(module, nn.BatchNorm2d) for module in sparse.modules())
    assert list(sparse.state_dict()) == names
    unfuse(sparse)
    assert not sparse._forward_hooks
    assert not sparse._forward_pre_hooks


def test_training_curves_agree_over_50_steps() -> None:
    masked, sparse, _ = network("cifar_resnet_8_4", size=8)
    generator = torch.Generator().manual_seed(2)
    images, labels = torch.randn(24, 3, 8, 8, generator=generator), torch.randint(10, (24,), generator=generator)
    fuse(sparse)
    masks = {name: (parameter != 0) for name, parameter in masked.named_parameters() if name.endswith("weight")}
    curves: list[list[float]] = []
    for model in (masked, sparse):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4)
        curve = []
        for _ in range(50):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            if model is masked:
                with torch.no_grad():
                    for name, parameter in model.named_parameters():
                        if name in masks and parameter.dim() > 1:
                            parameter *= masks[name]
            curve.append(loss.item())
        curves.append(curve)
    assert curves[0][-1] < curves[0][0] / 2
    assert curves[1] == pytest.approx(curves[0], rel=2e-3, abs=2e-4)


class Odd(nn.Module):
    """Everything a block may hold, and some of what it may not."""

    def __init__(self, then: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.third, self.norm = nn.Conv2d(6, 6, 1), nn.BatchNorm2d(6)
        self.other = nn.BatchNorm2d(6, affine=False, momentum=None)
        self.untracked = nn.BatchNorm2d(6, track_running_stats=False)
        self.then, self.act, self.fc = then, nn.ReLU(inplace=True), nn.Linear(6, 4)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.first(images)
        left = self.act(self.norm(hidden))
        right = self.other(self.second(left)) + self.untracked(hidden)
        right += left
        hidden = self.then(self.third(F.relu(right)) + right)
        return self.fc(hidden.mean((2, 3)))


@pytest.mark.parametrize(
    "then",
    [
        nn.MaxPool2d(2),
        nn.MaxPool2d(3, 2, 1),
        nn.AvgPool2d(3, 2),
        nn.AdaptiveAvgPool2d(1),
        lambda x: F.max_pool2d(x, 2),
        lambda x: F.max_pool2d(x, 3, stride=2, padding=1),
        lambda x: F.adaptive_avg_pool2d(x, (1, 1)),
        lambda x: F.adaptive_avg_pool2d(x, 2),  # these the kernels do not know
        lambda x: F.max_pool2d(x, 2, ceil_mode=True),
        lambda x: x.sigmoid(),
        lambda x: x * 2 + 1,
        lambda x: x + x,
        lambda x: x + x[:, :, :1],
        lambda x: x.relu() - x.clamp(min=0.1),
        nn.BatchNorm2d(6),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_odd_networks_compute_the_same(then: Callable[[Tensor], Tensor], training: bool, recorded: list[str]) -> None:
    torch_state = torch.get_rng_state()
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(5)
        model = Odd(copy.deepcopy(then)).train(training)
    assert torch.equal(torch.get_rng_state(), torch_state)
    generator = torch.Generator().manual_seed(4)
    masks = {}
    for name in ("first", "second", "third", "fc"):
        weight = getattr(model, name).weight
        masks[f"{name}.weight"] = torch.rand(weight.shape, generator=generator) < 0.6
        weight.data *= masks[f"{name}.weight"]
    sparse = swap(model, masks)
    images = torch.randn(18, 3, 9, 7, generator=generator)
    fuse(sparse)
    compare(model, sparse, masks, images)
    assert {"Convolve", "Relu", "Normalize", "Add"} <= set(recorded)
    compare(model, sparse, masks, torch.randn(5, 3, 8, 8, generator=generator))  # other sizes than the sample's


def test_batch_norm_in_training_with_a_large_mean_loses_nothing() -> None:
    module, norm = nn.Conv2d(1, 2, 1, bias=False), nn.BatchNorm2d(2)
    module.weight.data.fill_(1)
    sparse = nn.Sequential(SparseConv2d.from_dense(module, torch.ones(2, 1, 1, 1, dtype=torch.bool)), norm)
    images = 1000 + torch.randn(40, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    expected = F.batch_norm(module.double()(images.double()), None, None, training=True)
    fuse(sparse)
    torch.testing.assert_close(sparse(images).double(), expected, rtol=1e-4, atol=2e-4)


def test_layers_are_seen_one_by_one_where_somebody_looks() -> None:
    masked, sparse, masks = network("cifar_resnet_8_4")
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    fuse(sparse)
    seen: list[tuple[int, ...]] = []
    handle = sparse.get_submodule("layer1.0.conv1").register_forward_hook(lambda *call: seen.append(call[2].shape))
    compare(masked, sparse, masks, images)
    handle.remove()
    assert seen == [(4, 4, 16, 16)]
    layer = next(module for module in sparse.modules() if isinstance(module, SparseConv2d))
    layer.dense_gradient = True
    sparse(images).sum().backward()
    assert layer.dense_grad is not None
    assert layer.dense_grad.shape == layer.pattern.shape


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # dynamo's own
@pytest.mark.parametrize("fused", [True, False])
def test_torch_compile_leaves_the_kernels_alone(fused: bool) -> None:
    torch.manual_seed(5)
    layers = (SparseConv2d.from_dense(nn.Conv2d(3, 8, 3), torch.rand(8, 3, 3, 3) < 0.5), nn.BatchNorm2d(8), nn.ReLU())
    model, images = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128, 4)), torch.randn(4, 3, 6, 6)
    if fused:
        fuse(model)
    twin = copy.deepcopy(model)
    torch.compile(model, backend="eager")(images).square().sum().backward()
    twin(images).square().sum().backward()
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        assert ours.grad is not None
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_a_copy_is_fused_and_its_own() -> None:
    _, sparse, _ = network("cifar_resnet_8_4")
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    fuse(sparse)
    sparse.eval()
    expected = sparse(images)
    twin = copy.deepcopy(sparse)
    with torch.no_grad():
        for parameter in sparse.parameters():
            parameter.zero_()
    assert torch.equal(twin(images), expected)
    assert not torch.equal(sparse(images), expected)
    assert twin._forward_hooks


def test_the_same_bits_twice_and_a_changed_parameter_is_noticed() -> None:
    _, sparse, _ = network("cifar_resnet_8_4")
    images = torch.randn(20, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    fuse(sparse)
    results = []
    for _ in range(2):
        sparse.zero_grad()
        sparse(images).square().mean().backward()
        results.append([parameter.grad.clone() for parameter in sparse.parameters() if parameter.grad is not None])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    loss = sparse(images).square().mean()
    with torch.no_grad():
        next(module for module in sparse.modules() if isinstance(module, SparseConv2d)).values.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


class _UnusedFirstReader(nn.Module):
    """The first convolution to read a value takes no part in the loss: nobody adds up the value's gradient early."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        masks = [torch.rand(16, 16, 3, 3, generator=generator) < 0.3 for _ in range(2)]
        dense = [nn.Conv2d(16, 16, 3, padding=1, bias=False) for _ in masks]
        self.first, self.unused = (SparseConv2d.from_dense(*pair) for pair in zip(dense, masks, strict=True))
        self.norm = nn.BatchNorm2d(16)

    def forward(self, images: Tensor) -> Tensor:
        hidden = F.relu(self.norm(self.first(images)))
        self.unused(hidden)
        return F.max_pool2d(hidden, 2).mean() + F.max_pool2d(hidden, 4).mean()


def test_gradients_arrive_where_the_first_reader_is_not_used() -> None:
    fused = _UnusedFirstReader()
    plain = copy.deepcopy(fused)  # every layer of it gives ordinary tensors
    fuse(fused)
    images = torch.randn(16, 16, 8, 8, generator=torch.Generator().manual_seed(4))
    for model in (fused, plain):
        model(images).backward()
    assert fused.unused.values.grad is None
    assert same(fused.first.values.grad, plain.first.values.grad)
    assert same(fused.norm.weight.grad, plain.norm.weight.grad)
