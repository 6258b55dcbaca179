"""The loop."""

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
from rarefy.training._begun import begun
from rarefy.training._parallel import waiting
from rarefy.training._resume import put_back
from rarefy.training._state import Callback, Event, Settings, State, Totals
from rarefy.training.callbacks._same_masks import SameMasks

_CHECK_EVERY = 50  # steps between looks at the loss where a look makes the device wait


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

    Several processes call it alike, each with its part of every batch. A step is that of the whole batch; masks are
    proved to be the same on all ranks when training starts and whenever they moved.

    Args:
        model: The model, on the device it shall train on, whole on each rank or sharded (`shard`).
        sparsity: What `rarefy.sparsify` returned for it.
        batches: The training split; an epoch of it is a function of its streams and the epoch's number.
        settings: How to train.
        seed: Seed of what the model itself draws (dropout); the global generator is borrowed and given back.
        validate: Model to ``{"validation_loss": ..., "validation_accuracy": ...}``, called after every epoch.
        callbacks: Called with each event, in order.
        resume: A state that `State.state_dict` gave.
        should_stop: Asked after every step; one rank that says so stops all of them after the same step.
        world: The processes that train together.

    Returns:
        The final state; with ``select="best"`` the best epoch's weights are in the model.

    Raises:
        CheckpointError: If the state to resume from is of another training.
        NonFiniteLoss: If the loss is no longer finite.
        RanksDiffer: If masks are not the same on all ranks.
        Interrupted: If `should_stop` said so; callbacks have seen ``Event.STOP`` by then. They see it before any other
            error, too, that ends a training of one process between two steps, so that the state is saved.
    """
    callbacks = (SameMasks(), *callbacks)
    with begun(model, sparsity, settings, seed=seed, steps_per_epoch=len(batches), world=world) as (state, forward):
        if resume is not None:
            put_back(state, resume)
        _notify(Event.START, state, callbacks)
        try:
            while state.epoch < settings.values.epochs:
                _epoch(forward, state, batches, callbacks, should_stop, seed)
                _close_epoch(state, validate)
                _notify(Event.EPOCH, state, callbacks)
        except Exception:
            _save_whole(state, callbacks)
            raise
        finally:
            _notify(Event.END, state, callbacks)
    return state


def _epoch(
    forward: nn.Module,
    state: State,
    batches: Batches,
    callbacks: Sequence[Callback],
    should_stop: Callable[[], bool],
    seed: int,
) -> None:
    """The rest of the current epoch."""
    state.model.train()
    for inputs, targets in _timed(batches.epoch(state.epoch, start=state.batch), state.totals):
        state.is_whole = False
        step(forward, state, inputs, targets, images=batches.size(state.batch), seed=seed)
        state.is_whole = True
        _notify(Event.STEP, state, callbacks)
        if state.world.any_rank(should_stop()):
            _notify(Event.STOP, state, callbacks)
            state.world.any_rank(False)  # barrier until rank 0 has saved: a launcher ends all ranks when one ends
            raise Interrupted(f"Stopped after step {state.step}.")
    state.require_finite()
    state.is_whole = False  # until the epoch is closed


def step(forward: nn.Module, state: State, inputs: Tensor, targets: Tensor, *, images: int, seed: int) -> None:
    """One step as `train` makes it: it moves the state on, and a GPU is not waited for.

    Args:
        forward: The model as `begun` gave it.
        state: What changes.
        inputs: This rank's images, ``[B, C, H, W]``.
        targets: Their labels, ``[B]``.
        images: How many images all ranks have in this step.
        seed: Seed of what the model itself draws.

    Raises:
        NonFiniteLoss: If a loss is no longer finite; looked at in every step on a CPU, now and then on a GPU.

    Example:
        See `begun`.
    """
    if state.world.ranks > 1:  # no rank's generator is in a checkpoint, and ranks draw each for its own images
        torch.manual_seed(derive_seed(seed, "model", state.step, state.world.rank))
    _step(forward, state, inputs, targets, images)
    state.batch += 1
    if state.device.type == "cpu" or state.batch % _CHECK_EVERY == 0:
        state.require_finite()


def _step(forward: nn.Module, state: State, inputs: Tensor, targets: Tensor, images: int) -> None:
    """Forward, loss, backward, optimizer. Masks act in the optimizer's hooks; only clipping knows of them.

    Args:
        forward: The model as it is called.
        state: What changes.
        inputs: This rank's images.
        targets: Their labels.
        images: How many images all ranks have in this step.
    """
    values, optimizer, scaler = state.settings.values, state.optimizer, state.scaler
    for group in optimizer.param_groups:
        group["lr"] = state.lr
    if values.channels_last:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    optimizer.zero_grad(set_to_none=True)
    sums = torch.zeros(2, dtype=torch.float64, device=state.device)  # of losses and of right answers
    parts = min(values.accumulate, -(-images // state.world.ranks))  # as many on every rank
    pairs = zip(inputs.tensor_split(parts), targets.tensor_split(parts), strict=True)
    for number, (some, labels) in enumerate(pairs, start=1):
        with waiting(forward, last=number == parts):
            sums += _backward(forward, state, some, labels, images)
    if values.clip_norm is not None:
        scaler.unscale_(optimizer)
        state.sparsity.mask_gradients_()
        nn.utils.clip_grad_norm_(state.model.parameters(), values.clip_norm)
    scaler.step(optimizer)
    scaler.update()
    lost, correct = state.world.all_reduce(sums)
    state.totals.seen += images
    state.totals.loss += lost
    state.totals.correct += correct.long()


def _backward(forward: nn.Module, state: State, inputs: Tensor, targets: Tensor, images: int) -> Tensor:
    """Adds the gradients of some images of a step; their summed loss and number of right answers, ``[2]``."""
    values = state.settings.values
    with autocast(values.precision, state.device):
        logits = _logits(forward, inputs)
        smoothing = values.label_smoothing
        if len(targets) == images:
            loss = nn.functional.cross_entropy(logits, targets, label_smoothing=smoothing)
        else:  # this part's share of the step's mean
            loss = nn.functional.cross_entropy(logits, targets, reduction="sum", label_smoothing=smoothing) / images
    state.scaler.scale(loss * state.world.ranks).backward()  # type: ignore[no-untyped-call]  # ranks are averaged
    return torch.stack([loss.detach().double() * images, (logits.detach().argmax(1) == targets).sum().double()])


def _logits(forward: nn.Module, inputs: Tensor) -> Tensor:
    """What the model makes of images; where torch cannot normalise a single one, what can be done about it."""
    try:
        logits: Tensor = forward(inputs)
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise InvalidInput(
            f"A batch norm needs more than one value a channel; this process has {len(inputs)} image(s) here, of which "
            "the network leaves one pixel. An epoch's last batch is what is left over: take another -b, or fewer "
            "processes or passes (--accumulate), or --sync-norms, which counts the images of all processes."
        ) from error
    return logits


def _close_epoch(state: State, validate: Callable[[nn.Module], dict[str, float]] | None) -> None:
    """Turns the epoch's sums into a line of history and moves on to the next epoch."""
    totals = state.totals
    state.world.broadcast_(list(state.model.buffers()))  # batch norms that are not synced remember their own images
    row: dict[str, Any] = {
        "epoch": state.epoch + 1,
        "train_loss": totals.mean_loss,
        "train_accuracy": totals.accuracy,
        "lr": state.optimizer.param_groups[0]["lr"],
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
        state.keep_best(row["validation_accuracy"])
    state.is_whole = True


def _timed(batches: Iterator[tuple[Tensor, Tensor]], totals: Totals) -> Iterator[tuple[Tensor, Tensor]]:
    """Passes batches on and adds up how long they were waited for, and how long the steps took."""
    started = time.perf_counter()
    for batch in batches:
        arrived = time.perf_counter()
        totals.data_seconds += arrived - started
        yield batch
        totals.seconds += time.perf_counter() - started
        started = time.perf_counter()


def _save_whole(state: State, callbacks: Sequence[Callback]) -> None:
    """Has callbacks save a state that an error between two steps left whole; several processes would have to agree."""
    if not state.is_whole or state.world.ranks > 1:
        return
    with contextlib.suppress(Exception):  # the first error is the one that is told
        _notify(Event.STOP, state, callbacks)


def _notify(event: Event, state: State, callbacks: Sequence[Callback]) -> None:
    for callback in callbacks:
        callback(event, state)


def autocast(precision: str, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """The context in which a precision's operations run: ``fp32`` and ``tf32`` (none), ``bf16`` or ``fp16``.

    Example:
        >>> with autocast("bf16", torch.device("cpu")):
        ...     nn.Linear(2, 2)(torch.ones(1, 2)).dtype
        torch.bfloat16
    """
    if precision in ("fp32", "tf32"):
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16 if precision == "bf16" else torch.float16)
