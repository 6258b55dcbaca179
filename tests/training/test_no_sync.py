"""A step never waits for a GPU: nothing in it reads a number, which only memory of the host can answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from rarefy.config import Training
from rarefy.sparsity import sparsify
from rarefy.topology import TOPOLOGIES
from rarefy.training import OPTIMIZERS, SCHEDULES, Settings, State
from rarefy.training._door import _step

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
        _step(model, state, images, labels, 8)

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


@pytest.mark.gpu
@pytest.mark.parametrize("values", [{}, {"accumulate": 2}, {"precision": "bf16", "clip_norm": 1.0}], ids=str)
def test_a_step_on_a_gpu_does_not_wait(values: dict[str, Any]) -> None:
    step = stepping("cuda", **values)
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
