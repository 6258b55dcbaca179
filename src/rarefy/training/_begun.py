"""What surrounds the steps of a training: the state they change, and the conditions under which they are made."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from rarefy.distributed import SINGLE_PROCESS, World
from rarefy.rng import derive_seed
from rarefy.sparsity import Sparsity
from rarefy.training._parallel import parallel
from rarefy.training._precision import use_precision
from rarefy.training._recompute import recomputing
from rarefy.training._slow_precision import warn_of_slow_precision
from rarefy.training._state import Settings, State


@contextlib.contextmanager
def begun(
    model: nn.Module,
    sparsity: Sparsity,
    settings: Settings,
    *,
    seed: int,
    steps_per_epoch: int,
    world: World = SINGLE_PROCESS,
) -> Iterator[tuple[State, nn.Module]]:
    """A training before its first step, for as long as the context lasts; for who makes its steps one by one.

    Args:
        model: As for `train`.
        sparsity: As for `train`.
        settings: As for `train`.
        seed: As for `train`.
        steps_per_epoch: Batches an epoch.
        world: The processes that train together.

    Yields:
        The state, and the model as `step` calls it: wrapped for several processes, compiled.

    Example:
        >>> import rarefy
        >>> from rarefy.config import Training
        >>> from rarefy.training import OPTIMIZERS, SCHEDULES, step
        >>> model = nn.Linear(8, 4)
        >>> settings = Settings(Training(epochs=2), OPTIMIZERS.build("sgd"), SCHEDULES.build("step"))
        >>> sparsity = rarefy.sparsify(model, density=0.5)
        >>> with begun(model, sparsity, settings, seed=17, steps_per_epoch=10) as (state, forward):
        ...     step(forward, state, torch.ones(6, 8), torch.zeros(6, dtype=torch.int64), images=6, seed=17)
        >>> state.step
        1
    """
    values = settings.values
    if world.is_rank0:
        warn_of_slow_precision(values.precision, next(model.parameters()).device)
    forward = parallel(model, world, compression=values.compression)
    state = State(model, sparsity, settings, steps_per_epoch=steps_per_epoch, world=world)
    forward = torch.compile(forward) if values.compile else forward  # type: ignore[assignment]  # still a module
    with (
        _own_randomness(state.device, seed),
        use_precision(values.precision),
        _kernels(deterministic=values.deterministic),
        recomputing(model, wanted=values.recompute),
    ):
        yield state, forward


@contextlib.contextmanager
def _own_randomness(device: torch.device, seed: int) -> Iterator[None]:
    """Lends dropout and the like the global generator, seeded for this run; what the caller had there is put back."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(derive_seed(seed, "model"))
        yield


@contextlib.contextmanager
def _kernels(*, deterministic: bool) -> Iterator[None]:
    """Asks a GPU for deterministic kernels; the CPU's are so."""
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    cudnn.deterministic, cudnn.benchmark = deterministic, not deterministic
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark = before
