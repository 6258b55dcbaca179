"""Context of a training: its state, random generator and kernel flags."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from rarefy.distributed import SINGLE_PROCESS, World
from rarefy.rng import derive_seed
from rarefy.sparsity import Sparsity
from rarefy.training._parallel import wrap_data_parallel
from rarefy.training._precision import use_precision
from rarefy.training._recompute import recompute_blocks
from rarefy.training._slow_precision import warn_of_slow_precision
from rarefy.training._state import Settings, State


@contextlib.contextmanager
def training_context(
    model: nn.Module,
    sparsity: Sparsity,
    settings: Settings,
    *,
    seed: int,
    steps_per_epoch: int,
    world: World = SINGLE_PROCESS,
) -> Iterator[tuple[State, nn.Module]]:
    """Context that sets up a training (state, RNG, kernel flags) so that you can call `train_step` yourself.

    Args:
        model: As for `train`.
        sparsity: As for `train`.
        settings: As for `train`.
        seed: As for `train`.
        steps_per_epoch: Batches per epoch.
        world: The processes that train together.

    Yields:
        The state, and the model to pass to `train_step`: wrapped for several processes, compiled.

    Example:
        >>> import rarefy
        >>> from rarefy.config import Training
        >>> from rarefy.training import OPTIMIZERS, SCHEDULES, train_step
        >>> model = nn.Linear(8, 4)
        >>> settings = Settings(Training(epochs=2), OPTIMIZERS.build("sgd"), SCHEDULES.build("step"))
        >>> sparsity = rarefy.sparsify(model, density=0.5)
        >>> with training_context(model, sparsity, settings, seed=17, steps_per_epoch=10) as (state, forward):
        ...     train_step(forward, state, torch.ones(6, 8), torch.zeros(6, dtype=torch.int64), images=6, seed=17)
        >>> state.step
        1
    """
    values = settings.values
    if world.is_rank0:
        warn_of_slow_precision(values.precision, next(model.parameters()).device)
    forward = wrap_data_parallel(model, world, compression=values.compression)
    state = State(model, sparsity, settings, steps_per_epoch=steps_per_epoch, world=world)
    forward = torch.compile(forward) if values.compile else forward  # type: ignore[assignment]  # still a module
    with (
        _fork_rng(state.device, seed),
        use_precision(values.precision),
        _cudnn_flags(deterministic=values.deterministic),
        recompute_blocks(model, enabled=values.recompute),
    ):
        yield state, forward


@contextlib.contextmanager
def _fork_rng(device: torch.device, seed: int) -> Iterator[None]:
    """Seeds the global generator for dropout; the caller's state is restored on exit."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(derive_seed(seed, "model"))
        yield


@contextlib.contextmanager
def _cudnn_flags(*, deterministic: bool) -> Iterator[None]:
    """Sets whether cuDNN uses deterministic kernels; CPU kernels are deterministic."""
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    cudnn.deterministic, cudnn.benchmark = deterministic, not deterministic
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark = before
