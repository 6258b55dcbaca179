"""Training computes in the precision that it was asked for, whatever else the process set, and puts that back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import backends, nn

import rarefy
from rarefy.config import Training
from rarefy.training import OPTIMIZERS, SCHEDULES, Settings, training_context

ABOVE = (backends, backends.cudnn, backends.mkldnn)
ON_GPU = (backends.cudnn.conv, backends.cudnn.rnn, backends.cuda.matmul)
ON_CPU = (backends.mkldnn.conv, backends.mkldnn.rnn, backends.mkldnn.matmul)
SETTINGS = (
    "pass",
    "backends.cuda.matmul.fp32_precision = 'tf32'",
    "backends.cudnn.conv.fp32_precision = 'ieee'",
    "backends.fp32_precision = 'tf32'",
    "backends.cudnn.fp32_precision = 'tf32'",
    "backends.mkldnn.matmul.fp32_precision = 'bf16'",
    "torch.set_float32_matmul_precision('medium')",
    "backends.cuda.matmul.allow_tf32 = True; backends.cudnn.allow_tf32 = False",
)


def reset() -> None:
    """What a new process has."""
    torch.set_float32_matmul_precision("highest")
    backends.cudnn.allow_tf32 = True
    for place in (*ABOVE, backends.cuda.matmul, *ON_CPU):
        place.fp32_precision = "none"
    backends.cudnn.conv.fp32_precision = backends.cudnn.rnn.fp32_precision = "tf32"


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    reset()
    yield
    reset()


def values(places: tuple[Any, ...]) -> list[str]:
    return [place.fp32_precision for place in places]


def former() -> list[Any]:
    def read(setting: Callable[[], Any]) -> Any:
        try:
            return setting()
        except RuntimeError:
            return "mixed"

    settings = (lambda: backends.cudnn.allow_tf32, lambda: backends.cuda.matmul.allow_tf32)
    return [read(torch.get_float32_matmul_precision), *map(read, settings)]


def everything() -> list[Any]:
    """What can be read, and what each operation answers where nothing above it says anything."""
    found = [*values((*ABOVE, *ON_GPU, *ON_CPU)), *former()]
    for place in ABOVE:
        place.fp32_precision = "none"
    return [*found, *values((*ON_GPU, *ON_CPU))]


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
@pytest.mark.parametrize("setting", SETTINGS)
def test_a_training_has_its_own_precision_and_leaves_the_process_s_as_it_was(setting: str, precision: str) -> None:
    exec(setting)
    before = everything()
    reset()
    exec(setting)
    model = nn.Linear(8, 4)
    asked = Settings(Training(epochs=1, precision=precision), OPTIMIZERS.build("sgd"), SCHEDULES.build("step"))
    with training_context(model, rarefy.sparsify(model, density=0.5), asked, seed=1, steps_per_epoch=1):
        is_exact = precision == "fp32"
        assert values(ON_GPU) == ["ieee" if is_exact else "tf32"] * 3
        assert values(ON_CPU) == ["ieee"] * 3
        assert former() == (["highest", False, False] if is_exact else ["high", True, True]), "torch.compile reads them"
    assert everything() == before
