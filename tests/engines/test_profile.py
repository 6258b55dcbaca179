"""A profiled step: the same step, whose time is divided among layers and kinds of work without a gap."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from rarefy import engines, sparsify
from rarefy.engines import STEP_KINDS, profile_step
from rarefy.engines._step_clock import PYTHON, StepClock

pytestmark = pytest.mark.kernels


class Residual(nn.Module):
    """Two convolutions with batch norm, a strided one, a sum, functional ReLUs, a dense classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.second, self.norm2 = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.third = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.head = nn.Linear(16, 10)

    def forward(self, images):
        first = torch.relu(self.norm(self.first(images)))
        second = torch.relu(self.norm2(self.second(first)) + first)
        return self.head(self.third(second).mean((2, 3)))


def prepare(engine: str = "cpu", pattern: str = "unstructured"):
    torch.manual_seed(3)
    model, images = Residual(), torch.randn(20, 3, 10, 10)
    sparsity = sparsify(model, density=0.3, allocation="uniform", seed=17, pattern=pattern)
    engines.use_engine(model, sparsity, engine, inputs=images)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    sparsity.attach(optimizer)
    return model, sparsity, optimizer, lambda net: nn.functional.cross_entropy(net(images), torch.arange(20) % 10)


def test_nested_work_counts_once_and_pauses_not_at_all():
    now = [0.0]
    clock = StepClock(lambda: now[0])

    def wait(seconds):
        now[0] += seconds

    clock.start()
    wait(1)
    clock.enter("outer")
    wait(2)
    clock.enter("inner")
    wait(4)
    with clock.pause():
        wait(100)
    clock.leave("forward", flops=5.0, nbytes=7)
    wait(8)
    clock.leave("batch norm")
    wait(16)
    clock.stop()
    seconds = {(part.layer, part.kind): part.seconds for part in clock.parts.values()}
    assert seconds == {("inner", "forward"): 4, ("outer", "batch norm"): 10, ("", PYTHON): 17}
    clock.move("inner", "forward", "copies and stores", 9.0, 3)  # more than there is
    assert sum(part.seconds for part in clock.parts.values()) == 31
    assert clock.parts["inner", "forward"].seconds == 0
    assert clock.parts["inner", "copies and stores"].nbytes == 3


def test_a_profiled_step_computes_the_bits_of_an_ordinary_one():
    model, _, optimizer, compute_loss = prepare()
    compute_loss(model).backward()
    optimizer.step()
    ordinary = copy.deepcopy(model.state_dict())
    model, _, optimizer, compute_loss = prepare()
    profile_step(model, optimizer, lambda: compute_loss(model))
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, ordinary[name]), name
    assert not any(module._forward_hooks for module in model.children())
    again = profile_step(model, optimizer, lambda: compute_loss(model))
    assert {part.kind for part in again} <= set(STEP_KINDS)


@pytest.mark.parametrize(("pattern", "zeros"), [("unstructured", 0), ("out8", 7)])  # at most, of one group
def test_operations_are_those_of_kept_weights_in_three_products(pattern, zeros):
    model, sparsity, optimizer, compute_loss = prepare(pattern=pattern)
    parts = {(part.layer, part.kind): part for part in profile_step(model, optimizer, lambda: compute_loss(model))}
    kept = {layer.name: layer.kept for layer in sparsity.layers()}
    for name, pixels in {"second": 100, "third": 25}.items():
        for kind in ("forward", "input gradient", "weight gradient"):
            assert 0 <= parts[name, kind].flops / (2 * pixels * 20) - kept[f"{name}.weight"] <= zeros, (name, kind)
    assert ("first", "input gradient") not in parts  # images need no gradient


def test_bytes_are_those_of_the_arrays_of_each_call():
    model, _, optimizer, compute_loss = prepare()
    parts = {(part.layer, part.kind): part for part in profile_step(model, optimizer, lambda: compute_loss(model))}
    maps = 2 * 16 * 8 * 100 * 4  # two blocks of 16 images, 8 channels, 100 pixels, 4 bytes
    images, smallest = maps * 3 // 8, 3 * maps
    assert parts["first", "copies and stores"].nbytes >= images + maps  # forward alone
    assert parts["second", "copies and stores"].nbytes >= smallest


def test_layers_of_torch_are_named_too():
    model, _, optimizer, compute_loss = prepare("masked")
    parts = profile_step(model, optimizer, lambda: compute_loss(model))
    kinds = {part.layer: {other.kind for other in parts if other.layer == part.layer} for part in parts}
    assert kinds["third"] == {"dense layer"}
    assert "batch norm" in kinds["norm"]
    assert kinds[""] >= {"optimizer", "loss", PYTHON}


def test_kernels_are_not_observed_afterwards():
    model, _, optimizer, compute_loss = prepare()

    def fail():
        compute_loss(model)
        raise KeyError

    with pytest.raises(KeyError):
        profile_step(model, optimizer, fail)
    assert engines._cpu.kernels._threads._observer is None
    assert not model._forward_pre_hooks or len(model._forward_pre_hooks) == 1  # that of `fuse`
