"""The paper's largest network takes steps on a CPU, in both layouts, in the memory of a laptop."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

from rarefy.allocation import ALLOCATIONS
from rarefy.config import Training
from rarefy.data import Batches, Spec, Split
from rarefy.distributed import World
from rarefy.models import build, parse
from rarefy.sparsity import sparsify
from rarefy.training import OPTIMIZERS, SCHEDULES, Event, Settings, State, train

OnRanks = Callable[[int, Callable[[World], Any]], list[Any]]
STEPS, SIZE, LIMIT = 3, 224, 12 * 2**30


def steps(layout: torch.memory_format, batch: int) -> tuple[list[float], float, bool]:
    """Mean losses of one, two, three steps, density of the weights after them, and whether they kept their layout."""
    losses: list[float] = []

    def note(event: Event, state: State) -> None:
        losses.extend([state.totals.mean_loss] if event is Event.STEP else [])

    generator = torch.Generator().manual_seed(5)
    model = build(parse("WideResNet50_2"), classes=10, size=(SIZE, SIZE), generator=generator)
    model.to(memory_format=layout)  # type: ignore[call-overload]
    sparsity = sparsify(model, density=0.2, allocation=ALLOCATIONS.build("erk_plus", fc_density=1.0))
    images = torch.randint(256, (STEPS * batch, 3, SIZE, SIZE), dtype=torch.uint8, generator=generator)
    split = Split(images, torch.arange(STEPS * batch) % 10)
    batches = Batches(split, Spec("noise", 10, 3, SIZE, SIZE, (0.5,) * 3, (0.25,) * 3), batch)
    values = Training(epochs=1, batch_size=batch, lr=1e-4, channels_last=layout is torch.channels_last)
    settings = Settings(values, OPTIMIZERS.build("sgd"), SCHEDULES.build("step"))
    train(model, sparsity, batches, settings, seed=17, callbacks=[note])
    weights = [weight for name, weight in model.named_parameters() if name in sparsity.masks]
    kept = sum(int(weight.count_nonzero()) for weight in weights) / sum(weight.numel() for weight in weights)
    is_kept = all(weight.is_contiguous(memory_format=layout) for weight in weights if weight.ndim == 4)
    return losses, kept, is_kept


@pytest.mark.timeout(1800)
@pytest.mark.slow
@pytest.mark.parametrize("batch", [2, 16])
def test_wide_resnet_50_2_takes_three_steps_in_both_layouts_within_12_gb(on_ranks: OnRanks, batch: int) -> None:
    def both(_: World) -> tuple[Any, Any, int]:
        found = steps(torch.contiguous_format, batch), steps(torch.channels_last, batch)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return *found, peak if sys.platform == "darwin" else peak * 1024

    ((contiguous, channels_last, peak),) = on_ranks(1, both)
    assert len(contiguous[0]) == STEPS
    assert contiguous[0][0] == pytest.approx(channels_last[0][0], rel=1e-5)
    assert contiguous[0] == pytest.approx(channels_last[0], rel=1e-2)  # roundings grow from step to step
    assert contiguous[1] == channels_last[1] == pytest.approx(0.2, abs=1e-4)
    assert contiguous[2]
    assert channels_last[2]
    assert peak < LIMIT
