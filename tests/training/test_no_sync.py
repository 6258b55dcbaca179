"""A step never waits for a GPU: nothing in it reads a number, which only memory of the host can answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from rarefy.config import Training
from rarefy.data import Augment, Batches, Spec, Split
from rarefy.masks import Masks
from rarefy.rng import Streams
from rarefy.sparsity import sparsify
from rarefy.topology import TOPOLOGIES
from rarefy.training import OPTIMIZERS, SCHEDULES, Settings, State
from rarefy.training._train import _update_parameters

READS = {torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default, torch.ops.aten.equal.default}


class Reads(TorchDispatchMode):
    """Notes every operation whose result the host needs to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in READS:
            self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


def stepping(device: str, **values: Any) -> Callable[[], None]:
    """A step between two updates of the masks, of a training that has begun."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 20), nn.BatchNorm1d(20), nn.ReLU(), nn.Linear(20, 3)).to(device)
    sparsity = sparsify(model, density=0.4, topology=TOPOLOGIES.build("set", interval=100))
    settings = Settings(Training(epochs=2, **values), OPTIMIZERS.build("sgd"), SCHEDULES.build("step"))
    state = State(model, sparsity, settings, steps_per_epoch=200)
    images, labels = torch.zeros(8, 1, 4, 4, device=device), torch.arange(8, device=device) % 3

    def step() -> None:
        _update_parameters(model, state, images, labels, 8)

    step()  # what is laid out once, like the masks in the weights' order of memory, is laid out now
    return step


@pytest.mark.parametrize("values", [{}, {"accumulate": 2, "label_smoothing": 0.1}, {"precision": "bf16"}], ids=str)
def test_a_step_reads_nothing(values: dict[str, Any]) -> None:
    step = stepping("cpu", **values)
    with Reads() as reads:
        step()
        assert reads.seen == []
        assert torch.ones(()).item() == 1  # and reading is seen
    assert reads.seen == ["aten._local_scalar_dense.default"]


def without_values(self: Masks, name: str, weight: torch.Tensor) -> torch.Tensor:
    """Where the weight is kept, were there values to say so."""
    return torch.empty_like(weight, dtype=torch.bool, requires_grad=False)


@pytest.mark.parametrize(
    "values", [{}, {"accumulate": 2, "label_smoothing": 0.1}, {"clip_norm": 1.0}, {"diagnostics": True}], ids=str
)
def test_a_step_gets_by_without_any_value(values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """What would wait for a GPU (an item, a branch, a copy to the host) fails where there are no values."""
    monkeypatch.setattr(Masks, "_lay_out", without_values)
    monkeypatch.setattr("rarefy.masks._masks.move_mask", lambda name, mask, device: mask)
    step = stepping("meta", **values)
    step()
    for look in (lambda tensor: tensor.item(), lambda tensor: tensor.cpu(), bool, lambda tensor: tensor.tolist()):
        with pytest.raises((RuntimeError, NotImplementedError)):
            look(torch.ones((), device="meta"))


def test_batches_of_images_on_the_device_get_by_without_any_value() -> None:
    split = Split(torch.zeros(40, 3, 8, 8, dtype=torch.uint8), torch.arange(40)).to("meta")
    spec = Spec("dots", classes=40, channels=3, height=8, width=8, mean=(0.5,) * 3, std=(0.25,) * 3)
    batches = Batches(split, spec, 16, streams=Streams(17), augment=Augment(pad=2, mode="reflect", flip=True))
    shapes = [(images.device.type, len(images), len(labels)) for images, labels in batches.epoch(0)]
    assert shapes == [("meta", 16, 16), ("meta", 16, 16), ("meta", 8, 8)]


def test_fp16_reads_what_torchs_own_scaler_reads() -> None:
    scaled = stepping("cpu", precision="fp16")
    with Reads() as ours:
        scaled()
    model, scaler = nn.Linear(4, 2), torch.amp.GradScaler("cpu")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler.scale(model(torch.ones(3, 4)).sum()).backward()
    with Reads() as plain:
        scaler.step(optimizer)
        scaler.update()
    assert ours.seen == plain.seen
    assert len(plain.seen) == 1  # whether a gradient overflowed


@pytest.mark.gpu
@pytest.mark.parametrize("values", [{}, {"accumulate": 2}, {"precision": "bf16", "clip_norm": 1.0}], ids=str)
def test_a_step_on_a_gpu_does_not_wait(values: dict[str, Any]) -> None:
    step = stepping("cuda", **values)
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
