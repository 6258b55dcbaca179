"""The training loop and its step."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rarefy.data import Batches
from rarefy.distributed import SINGLE_PROCESS, World
from rarefy.errors import Interrupted, InvalidInput
from rarefy.rng import derive_seed
from rarefy.sparsity import Sparsity
from rarefy.topology import compute_exploration_rate
from rarefy.training._context import training_context
from rarefy.training._parallel import no_sync
from rarefy.training._restore import restore_state
from rarefy.training._state import Callback, Event, Settings, State, Totals
from rarefy.training.callbacks._mask_check import MaskCheck

_CHECK_EVERY = 50  # steps between checks of the loss on a GPU, since each check synchronises


def train(
    model: nn.Module,
    sparsity: Sparsity,
    batches: Batches,
    settings: Settings,
    *,
    seed: int,
    validate: Callable[[nn.Module], dict[str, float]] | None = None,
    callbacks: Sequence[Callback] = (),
    resume: dict[str, Any] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    world: World = SINGLE_PROCESS,
) -> State:
    """Trains a sparse model; the same arguments give the same bits, interrupted or not.

    With several processes every rank calls it with its part of each batch; a step uses the gradients of the whole
    batch. Masks are verified to be the same on all ranks when training starts and after every mask update.

    Args:
        model: The model on its training device, replicated on each rank or sharded (`shard`).
        sparsity: The model's `rarefy.Sparsity`.
        batches: The training split; an epoch depends only on its streams and the epoch's number.
        settings: Options, optimizer and schedule.
        seed: Seed of random layers such as dropout; the global generator is restored afterwards.
        validate: Model to ``{"validation_loss": ..., "validation_accuracy": ...}``, called after every epoch.
        callbacks: Called with each event, in order.
        resume: A state that `State.state_dict` returned.
        should_stop: Called after every step; True on any rank stops all ranks after the same step.
        world: The processes that train together.

    Returns:
        The final state.

    Raises:
        CheckpointError: If the state to resume from belongs to another training.
        NonFiniteLoss: If the loss is no longer finite.
        RanksDiffer: If masks differ between ranks.
        Interrupted: If `should_stop` returned True; callbacks have received ``Event.STOP`` before. With one process
            they also receive it before any other error between two steps, so that the state is saved.
    """
    callbacks = (MaskCheck(), *callbacks)
    with training_context(model, sparsity, settings, seed=seed, steps_per_epoch=len(batches), world=world) as (
        state,
        forward,
    ):
        if resume is not None:
            restore_state(state, resume)
        _call_callbacks(Event.START, state, callbacks)
        try:
            while state.epoch < settings.values.epochs:
                _train_epoch(forward, state, batches, callbacks, should_stop, seed)
                _end_epoch(state, validate)
                _call_callbacks(Event.EPOCH, state, callbacks)
        except Exception:
            _save_on_error(state, callbacks)
            raise
        finally:
            _call_callbacks(Event.END, state, callbacks)
    return state


def _train_epoch(
    forward: nn.Module,
    state: State,
    batches: Batches,
    callbacks: Sequence[Callback],
    should_stop: Callable[[], bool],
    seed: int,
) -> None:
    """Trains the rest of the current epoch."""
    state.model.train()
    for inputs, targets in _time_batches(batches.epoch(state.epoch, start=state.batch), state.totals):
        state.is_consistent = False
        train_step(forward, state, inputs, targets, images=batches.size(state.batch), seed=seed)
        state.is_consistent = True
        _call_callbacks(Event.STEP, state, callbacks)
        if state.world.any_rank(should_stop()):
            _call_callbacks(Event.STOP, state, callbacks)
            state.world.any_rank(False)  # barrier until rank 0 has saved: a launcher ends all ranks when one ends
            raise Interrupted(f"Stopped after step {state.step}.")
    state.require_finite()
    state.is_consistent = False  # until the end of the epoch is recorded


def train_step(forward: nn.Module, state: State, inputs: Tensor, targets: Tensor, *, images: int, seed: int) -> None:
    """Runs one step of `train` and advances the state, without a GPU synchronisation.

    Args:
        forward: The model from `training_context`.
        state: The state; changed in place.
        inputs: This rank's images, ``[B, C, H, W]``.
        targets: Their labels, ``[B]``.
        images: Number of images of all ranks in this step.
        seed: Seed of random layers.

    Raises:
        NonFiniteLoss: If a loss is no longer finite; checked in every step on a CPU, every 50 steps on a GPU.

    Example:
        See `training_context`.
    """
    if state.world.ranks > 1:  # checkpoints hold no rank's generator, and each rank draws for its own images
        torch.manual_seed(derive_seed(seed, "model", state.step, state.world.rank))
    _update_parameters(forward, state, inputs, targets, images)
    state.batch += 1
    if state.device.type == "cpu" or state.batch % _CHECK_EVERY == 0:
        state.require_finite()


def _update_parameters(forward: nn.Module, state: State, inputs: Tensor, targets: Tensor, images: int) -> None:
    """Runs forward, backward and the optimizer; masks act in the optimizer's hooks, only clipping uses them here."""
    values, optimizer, scaler = state.settings.values, state.optimizer, state.scaler
    for group in optimizer.param_groups:
        group["lr"] = state.lr * group.get("rate_factor", 1.0)
    if values.channels_last:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    optimizer.zero_grad(set_to_none=True)
    sums = torch.zeros(2, dtype=torch.float64, device=state.device)  # of losses and correct predictions
    count = min(values.accumulate, -(-images // state.world.ranks))  # the same on every rank
    micro_batches = zip(inputs.tensor_split(count), targets.tensor_split(count), strict=True)
    for number, (micro_inputs, micro_targets) in enumerate(micro_batches, start=1):
        with no_sync(forward, enabled=number < count):
            sums += _accumulate_gradients(forward, state, micro_inputs, micro_targets, images)
    if values.clip_norm is not None:
        scaler.unscale_(optimizer)
        state.sparsity.mask_gradients_()
        nn.utils.clip_grad_norm_(state.model.parameters(), values.clip_norm)
    scaler.step(optimizer)
    scaler.update()
    loss, correct = state.world.all_reduce(sums)
    state.totals.seen += images
    state.totals.loss += loss
    state.totals.correct += correct.long()


def _accumulate_gradients(forward: nn.Module, state: State, inputs: Tensor, targets: Tensor, images: int) -> Tensor:
    """Adds the gradients of a micro-batch; returns its summed loss and number of correct predictions, ``[2]``."""
    values = state.settings.values
    with autocast(values.precision, state.device):
        logits = _compute_logits(forward, inputs)
        smoothing = values.label_smoothing
        if len(targets) == images:
            loss = nn.functional.cross_entropy(logits, targets, label_smoothing=smoothing)
        else:  # this micro-batch's summand of the step's mean
            loss = nn.functional.cross_entropy(logits, targets, reduction="sum", label_smoothing=smoothing) / images
    state.scaler.scale(loss * state.world.ranks).backward()  # type: ignore[no-untyped-call]  # DDP averages over ranks
    return torch.stack([loss.detach().double() * images, (logits.detach().argmax(1) == targets).sum().double()])


def _compute_logits(forward: nn.Module, inputs: Tensor) -> Tensor:
    """Computes logits; adds advice to torch's error about batch norms over a single value."""
    try:
        logits: Tensor = forward(inputs)
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise InvalidInput(
            f"A batch norm needs more than one value per channel; this process has {len(inputs)} image(s) here, "
            "of which the network leaves one pixel. The last batch of an epoch may be smaller: use another -b, fewer "
            "processes or passes (--accumulate), or --sync-norms, which normalises over all processes."
        ) from error
    return logits


def _end_epoch(state: State, validate: Callable[[nn.Module], dict[str, float]] | None) -> None:
    """Appends the epoch's means to the history and advances to the next epoch."""
    totals = state.totals
    first = state.optimizer.param_groups[0]
    state.world.broadcast_(list(state.model.buffers()))  # unsynced batch norms hold statistics of their own images
    row: dict[str, Any] = {
        "epoch": state.epoch + 1,
        "train_loss": totals.mean_loss,
        "train_accuracy": totals.accuracy,
        "lr": first["lr"] / first.get("rate_factor", 1.0),
        "seconds": totals.seconds,
        "data_seconds": totals.data_seconds,
    }
    if state.settings.values.diagnostics:
        row |= state.sparsity.diagnose()
    else:
        row["exploration_rate"] = compute_exploration_rate(state.sparsity.explored())
    row |= validate(state.model) if validate else {}
    state.history.append(row)
    state.epoch, state.batch, state.totals = state.epoch + 1, 0, Totals.zero(state.device)
    if "validation_accuracy" in row:
        state.update_best(row["validation_accuracy"])
    state.is_consistent = True


def _time_batches(batches: Iterator[tuple[Tensor, Tensor]], totals: Totals) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields batches and adds up the time spent waiting for them and the time of the steps."""
    started = time.perf_counter()
    for batch in batches:
        arrived = time.perf_counter()
        totals.data_seconds += arrived - started
        yield batch
        totals.seconds += time.perf_counter() - started
        started = time.perf_counter()


def _save_on_error(state: State, callbacks: Sequence[Callback]) -> None:
    """Lets callbacks save a consistent state after an error, unless several processes would have to agree."""
    if not state.is_consistent or state.world.ranks > 1:
        return
    with contextlib.suppress(Exception):  # the first error is the one to report
        _call_callbacks(Event.STOP, state, callbacks)


def _call_callbacks(event: Event, state: State, callbacks: Sequence[Callback]) -> None:
    for callback in callbacks:
        callback(event, state)


def autocast(precision: str, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Returns the autocast context of a precision; none for ``fp32`` and ``tf32``.

    Example:
        >>> with autocast("bf16", torch.device("cpu")):
        ...     nn.Linear(2, 2)(torch.ones(1, 2)).dtype
        torch.bfloat16
    """
    if precision in ("fp32", "tf32"):
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16 if precision == "bf16" else torch.float16)
