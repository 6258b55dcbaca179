"""The loop."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rarefy.data import Batches
from rarefy.rng import derive
from rarefy.sparsity import Sparsity
from rarefy.topology import exploration_rate
from rarefy.training._state import Callback, Event, Settings, State, Totals

_CHECK_EVERY = 50  # steps between looks at the loss where a look makes the device wait


class Interrupted(Exception):
    """Training was asked to stop; the last checkpoint is at the step where it did."""


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
) -> State:
    """Trains a sparse model; the same arguments give the same bits, interrupted or not.

    Args:
        model: The model, on the device it shall train on.
        sparsity: What `rarefy.sparsify` returned for it.
        batches: The training split; an epoch of it is a function of its streams and the epoch's number.
        settings: How to train.
        seed: Seed of what the model itself draws (dropout); the global generator is borrowed and given back.
        validate: Model to ``{"validation_loss": ..., "validation_accuracy": ...}``, called after every epoch.
        callbacks: Called with each event, in order.
        resume: A state that `State.state_dict` gave.
        should_stop: Asked after every step.

    Returns:
        The final state; with ``select="best"`` the best epoch's weights are in the model.

    Raises:
        NonFiniteLoss: If the loss is no longer finite.
        Interrupted: If `should_stop` said so; callbacks have seen ``Event.STOP`` by then.

    Example:
        >>> train.__name__
        'train'
    """
    state = State(model, sparsity, settings, steps_per_epoch=len(batches))
    forward = torch.compile(model) if settings.values.compile else model
    with _own_randomness(state.device, seed), _determinism(settings.values.deterministic):
        if resume is not None:
            state.load_state_dict(resume)
        _notify(Event.START, state, callbacks)
        try:
            while state.epoch < settings.values.epochs:
                _epoch(forward, state, batches, callbacks, should_stop)
                _close_epoch(state, validate)
                _notify(Event.EPOCH, state, callbacks)
        finally:
            _notify(Event.END, state, callbacks)
    return state


def _epoch(
    forward: Callable[[Tensor], Tensor],
    state: State,
    batches: Batches,
    callbacks: Sequence[Callback],
    should_stop: Callable[[], bool],
) -> None:
    """The rest of the current epoch."""
    state.model.train()
    for inputs, targets in _timed(batches.epoch(state.epoch, start=state.batch), state.totals):
        _step(forward, state, inputs, targets)
        state.batch += 1
        if state.device.type == "cpu" or state.batch % _CHECK_EVERY == 0:
            state.require_finite()
        _notify(Event.STEP, state, callbacks)
        if should_stop():
            _notify(Event.STOP, state, callbacks)
            raise Interrupted(f"Stopped after step {state.step}.")
    state.require_finite()


def _step(forward: Callable[[Tensor], Tensor], state: State, inputs: Tensor, targets: Tensor) -> None:
    """Forward, loss, backward, optimizer. Masks act in the optimizer's hooks; only clipping knows of them."""
    values, optimizer, scaler = state.settings.values, state.optimizer, state.scaler
    for group in optimizer.param_groups:
        group["lr"] = state.lr
    if values.channels_last:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    with autocast(values.precision, state.device):
        logits = forward(inputs)
        loss = nn.functional.cross_entropy(logits, targets, label_smoothing=values.label_smoothing)
    optimizer.zero_grad(set_to_none=True)
    scaler.scale(loss).backward()  # type: ignore[no-untyped-call]  # torch's own
    if values.clip_norm is not None:
        scaler.unscale_(optimizer)
        state.sparsity.mask_gradients_()
        nn.utils.clip_grad_norm_(state.model.parameters(), values.clip_norm)
    scaler.step(optimizer)
    scaler.update()
    state.totals.seen += len(targets)
    state.totals.loss += loss.detach().double() * len(targets)
    state.totals.correct += (logits.detach().argmax(1) == targets).sum()


def _close_epoch(state: State, validate: Callable[[nn.Module], dict[str, float]] | None) -> None:
    """Turns the epoch's sums into a line of history and moves on to the next epoch."""
    totals = state.totals
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
        row["exploration_rate"] = exploration_rate(state.sparsity.explored())
    row |= validate(state.model) if validate else {}
    state.history.append(row)
    state.epoch, state.batch, state.totals = state.epoch + 1, 0, Totals.zero(state.device)
    if state.settings.values.select == "best" and "validation_accuracy" in row:
        state.keep_best(row["validation_accuracy"])


def _timed(batches: Iterator[tuple[Tensor, Tensor]], totals: Totals) -> Iterator[tuple[Tensor, Tensor]]:
    """Passes batches on and adds up how long they were waited for, and how long the steps took."""
    started = time.perf_counter()
    for batch in batches:
        arrived = time.perf_counter()
        totals.data_seconds += arrived - started
        yield batch
        totals.seconds += time.perf_counter() - started
        started = time.perf_counter()


def _notify(event: Event, state: State, callbacks: Sequence[Callback]) -> None:
    for callback in callbacks:
        callback(event, state)


def autocast(precision: str, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """The context in which a precision's operations run: ``fp32`` (none), ``bf16`` or ``fp16``.

    Example:
        >>> with autocast("bf16", torch.device("cpu")):
        ...     nn.Linear(2, 2)(torch.ones(1, 2)).dtype
        torch.bfloat16
    """
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16 if precision == "bf16" else torch.float16)


@contextlib.contextmanager
def _own_randomness(device: torch.device, seed: int) -> Iterator[None]:
    """Lends dropout and the like the global generator, seeded for this run; what the caller had there is put back."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(derive(seed, "model"))
        yield


@contextlib.contextmanager
def _determinism(wanted: bool) -> Iterator[None]:
    """Asks cuDNN for deterministic kernels; the CPU's are."""
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    cudnn.deterministic, cudnn.benchmark = wanted, not wanted
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark = before
