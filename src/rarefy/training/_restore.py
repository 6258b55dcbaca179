"""Validates a saved state against the training that it continues, and loads it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from rarefy.errors import InvalidInput
from rarefy.masks import read_shapes
from rarefy.records import Epoch
from rarefy.training._state import State
from rarefy.training.callbacks.checkpoint import CheckpointError

_FAULTS = (AttributeError, IndexError, KeyError, OverflowError, RuntimeError, TypeError, ValueError)
_NUMBER = (int, float)


def restore_state(state: State, saved: Mapping[str, Any]) -> None:
    """Validates and loads a state that `State.state_dict` returned.

    Args:
        state: The training before its first step.
        saved: What `load_checkpoint` returned.

    Raises:
        CheckpointError: If it belongs to another training or is inconsistent.
    """
    try:
        _require_position(saved, state)
        _require_history(saved["history"], saved["epoch"])
        _require_optimizer(saved["optimizer"], state)
        _require_sparsity(saved["sparsity"], state)
        _require_best(saved, state)
        if saved["best"] is not None:  # load_best must not fail at the end of the training
            state.sparsity.load_state_dict(saved["best"]["sparsity"])
        state.load_state_dict(dict(saved))
    except _FAULTS as error:  # ours, and torch's for shapes or keys that do not fit
        source = saved.get("source") or "The state to resume from"
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise CheckpointError(
            f"{source} does not fit this run ({reason}). Move it away to train from the beginning.", source=source
        ) from error


def _require(condition: bool, fault: str) -> None:
    if not condition:
        raise InvalidInput(fault)


def _is_count(value: object, largest: float = math.inf) -> bool:
    return type(value) is int and 0 <= value <= largest


def _require_position(saved: Mapping[str, Any], state: State) -> None:
    epochs, steps = state.settings.values.epochs, state.steps_per_epoch
    epoch, batch, totals, own = saved["epoch"], saved["batch"], saved["totals"], vars(state.totals)
    _require(_is_count(epoch, epochs), f"its epoch is {epoch!r}, of {epochs}")
    _require(_is_count(batch, steps), f"its batch is {batch!r}, of {steps}")
    _require(epoch < epochs or batch == 0, f"its batch is {batch!r} after the last epoch")
    _require(set(totals) == set(own), f"its totals are {sorted(totals)}")
    for name, value in own.items():
        if isinstance(value, Tensor):
            _require_like(totals[name], value, name)
        else:
            _require(isinstance(totals[name], _NUMBER) and totals[name] >= 0, f"its {name} are {totals[name]!r}")
    _require(set(saved["scaler"]) == set(state.scaler.state_dict()), "its loss scale is of another precision")
    _require(all(isinstance(value, _NUMBER) for value in saved["scaler"].values()), "its loss scale is not a number")


def _require_history(history: Any, epochs: int) -> None:
    _require(isinstance(history, list) and len(history) == epochs, f"its history does not have {epochs} epochs")
    for number, row in enumerate(history, start=1):
        _require(Epoch.model_validate(row).epoch == number, f"its history has another epoch {number}")
        are_numbers = all(isinstance(value, _NUMBER) or value is None for value in row.values())
        _require(are_numbers, f"its epoch {number} holds a value that is not a number")


def _require_optimizer(saved: Mapping[str, Any], state: State) -> None:
    """Checks that groups equal the config's except for the learning rate, and states have their weights' shapes."""
    groups, own = saved["param_groups"], state.optimizer.state_dict()["param_groups"]
    _require(len(groups) == len(own), f"its optimizer has {len(groups)} groups, not {len(own)}")
    for group, like in zip(groups, own, strict=True):
        for name in (group.keys() & like.keys()) - {"lr"}:
            _require(bool(group[name] == like[name]), f"its optimizer has {name} {group[name]!r}, not {like[name]!r}")
    parameters = [parameter for group in state.optimizer.param_groups for parameter in group["params"]]
    names = {frozenset(values) for values in saved["state"].values()}
    _require(len(names) <= 1, "its optimizer has different states for different weights")
    for number, values in saved["state"].items():
        _require(_is_count(number, len(parameters) - 1), f"its optimizer has no weight {number!r}")
        for name, value in values.items():
            fits = value is None or isinstance(value, _NUMBER) or value.shape in ((), parameters[number].shape)
            _require(fits, f"its {name} does not have the shape of weight {number}")
            _require(not isinstance(value, Tensor) or value.is_floating_point(), f"its {name} is not floating-point")


def _require_sparsity(saved: Mapping[str, Any], state: State) -> None:
    own, shapes = state.sparsity.state_dict(), state.sparsity.masks.shapes
    _require(set(saved) == set(own), f"its masks have the entries {sorted(saved)}")
    _require(read_shapes(saved["metadata"]) == shapes, "its masks are of other layers")  # before drawing them
    for phase in ("initial", "final"):
        counts = saved[phase]
        _require(set(counts) == set(shapes) and all(map(_is_count, counts.values())), f"its {phase} counts differ")
    _require(len(saved["attachments"]) == len(own["attachments"]), "its masks have another number of optimizers")
    for values, like in zip(saved["attachments"], own["attachments"], strict=True):
        _require(set(values) == set(like), f"its mask schedule has the entries {sorted(values)}")
        steps = values["steps"]
        _require(_is_count(values["step"]) and (steps is None or _is_count(steps)), "its mask schedule has no steps")
        for name, tensor in [*values["explored"].items(), *values["momentum"].items()]:
            _require(tuple(tensor.shape) == shapes[name], f"it explored another shape of {name!r}")
        _require(all(v.dtype.itemsize == 1 for v in values["explored"].values()), "its explored weights are not a mask")
        _require((values["watch"] is None) == (like["watch"] is None), "it has other --diagnostics")
    for part, like in own["reserve"].items():
        _require(saved["reserve"][part].keys() == like.keys(), f"its dormant weights have other {part}")
        for name, tensor in like.items():
            _require_like(saved["reserve"][part][name], tensor, name)


def _require_best(saved: Mapping[str, Any], state: State) -> None:
    """Checks that the best epoch's weights, which are loaded after training, have the form of the last ones."""
    best, epoch = saved["best"], saved["epoch"]
    own = state.model.state_dict()
    _require_model(saved["model"], own, state)
    if best is None:
        return
    _require(_is_count(best["epoch"], epoch) and best["epoch"] > 0, f"its best epoch is {best['epoch']!r} of {epoch}")
    _require(isinstance(best["accuracy"], _NUMBER) and 0 <= best["accuracy"] <= 1, "its best accuracy is not in [0, 1]")
    _require_model(best["model"], own, state)
    _require_sparsity(best["sparsity"], state)


def _require_model(saved: Mapping[str, Any], own: Mapping[str, Any], state: State) -> None:
    _require(saved.keys() == own.keys(), f"it lacks or adds {sorted(saved.keys() ^ own.keys())[:3]}")
    # value-storage layers change their size with their masks
    has_value_storage = bool(state.sparsity.masked_model.sparse_layers())
    for name, like in own.items():
        if isinstance(like, Tensor) and not has_value_storage:
            _require_like(saved[name], like, name)
        elif isinstance(like, Tensor):
            _require(saved[name].dtype == like.dtype, f"its {name!r} is {saved[name].dtype}, not {like.dtype}")


def _require_like(saved: Any, like: Tensor, name: str) -> None:
    saved_form, own_form = (saved.dtype, tuple(saved.shape)), (like.dtype, tuple(like.shape))
    _require(saved_form == own_form, f"its {name!r} is {saved_form}, not {own_form}")
