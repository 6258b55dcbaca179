"""Profiles training steps of a sparse network: what `rarefy bench --profile` measures."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable

import torch
from torch import nn

from rarefy import engines
from rarefy.benchmarking._training_copy import TrainingCopy, make_training_copy
from rarefy.errors import InvalidInput
from rarefy.sparsity import Sparsity

_WARM_UP = 3  # steps that compile kernels, reserve memory and create optimizer state


@dataclasses.dataclass(frozen=True)
class ProfilePart:
    """What a training step spends on one kind of work, in one layer or in all.

    Args:
        layer: Name of the module; empty for what belongs to none, or for all layers.
        kind: Kind of work, one of `rarefy.engines.STEP_KINDS`.
        milliseconds: Time.
        share: Of the step's time.
        gigaflops: Operations on kept weights per second, in 1e9: two per multiplication and addition.
        megabytes: Size of all arrays that its kernels read or write, once per call; 0 for work of torch's functions.
        gigabytes_per_second: These bytes per second.

    Example:
        >>> ProfilePart("conv1", "forward", 2.0, 0.1, 100.0, 4.0, 2.0).share
        0.1
    """

    layer: str
    kind: str
    milliseconds: float
    share: float
    gigaflops: float
    megabytes: float
    gigabytes_per_second: float


@dataclasses.dataclass(frozen=True)
class StepProfile:
    """Result of `profile`.

    Args:
        machine: Name of the processor.
        threads: Threads of torch and of the kernels.
        batch: Number of images.
        milliseconds: The fastest step that was not profiled.
        profiled_milliseconds: The fastest step that was profiled, of which the parts are. They add up to it.
        kinds: One part per kind of work, in the order of `rarefy.engines.STEP_KINDS`.
        layers: One part per layer and kind, in the order in which the layers ran first.

    Example:
        >>> part = ProfilePart("", "optimizer", 2.0, 1.0, 0.0, 0.0, 0.0)
        >>> StepProfile("a machine", 1, 128, 1.9, 2.0, (part,), ()).kinds[0].kind
        'optimizer'
    """

    machine: str
    threads: int
    batch: int
    milliseconds: float
    profiled_milliseconds: float
    kinds: tuple[ProfilePart, ...]
    layers: tuple[ProfilePart, ...]


def profile(
    model: nn.Module,
    sparsity: Sparsity,
    shape: tuple[int, int, int],
    *,
    batch: int = 128,
    engine: str = "cpu",
    rounds: int = 7,
) -> StepProfile:
    """Profiles training steps (forward, loss, backward, SGD with momentum): where their time goes.

    Steps with and without profiling alternate; the fastest of each count. The parts add up to the profiled step.

    Args:
        model: A sparse network on the CPU; it is not changed.
        sparsity: Its sparsity.
        shape: Shape of an image, ``(C, H, W)``.
        batch: Number of images.
        engine: Name of the engine.
        rounds: Steps of each kind.

    Raises:
        KernelsMissing: If the engine needs numba and it cannot be imported.
        ValueError: If the batch is less than 2 (batch norm needs more) or the rounds are not positive.

    Example:
        >>> import rarefy
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(48, 64), nn.ReLU(), nn.Linear(64, 10))
        >>> result = profile(model, rarefy.sparsify(model, density=0.1), (3, 4, 4), batch=4, rounds=1)
        >>> [part.kind for part in result.kinds][:2]
        ['forward', 'input gradient']
    """
    if rounds < 1 or batch < 2:
        raise InvalidInput(f"A profile needs at least 2 images and 1 round; got {batch} and {rounds}.")
    images = torch.randn(batch, *shape, generator=torch.Generator().manual_seed(0))
    copied = make_training_copy(model, sparsity, engine, images)
    profiled, seconds = [], []
    for turn in range(_WARM_UP + rounds):
        seconds.append(_time_step(copied))
        if turn >= _WARM_UP:
            profiled.append(engines.profile_step(copied.model, copied.optimizer, copied.compute_loss))
    parts = min(profiled, key=_sum_seconds)
    total = _sum_seconds(parts)
    kinds = [_join([part for part in parts if part.kind == kind], total) for kind in engines.STEP_KINDS]
    return StepProfile(
        engines.describe_machine(),
        torch.get_num_threads(),
        batch,
        1e3 * min(seconds[_WARM_UP:]),
        1e3 * total,
        tuple(part for part in kinds if part.milliseconds),
        tuple(dataclasses.replace(_join([part], total), layer=part.layer) for part in parts),
    )


def _time_step(copied: TrainingCopy) -> float:
    start = time.perf_counter()
    copied.step()
    return time.perf_counter() - start


def _sum_seconds(parts: Iterable[engines.StepPart]) -> float:
    return sum(part.seconds for part in parts)


def _join(parts: list[engines.StepPart], total: float) -> ProfilePart:
    """Adds up parts of one kind."""
    seconds, flops, nbytes = _sum_seconds(parts), sum(part.flops for part in parts), sum(part.nbytes for part in parts)
    rate = 1e-9 / seconds if seconds else 0.0
    kind = parts[0].kind if parts else ""
    return ProfilePart("", kind, 1e3 * seconds, seconds / total, flops * rate, nbytes / 1e6, nbytes * rate)
