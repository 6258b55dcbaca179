"""A state to go on from, as a file held it: compared with the training it shall continue, then put back."""

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


def put_back(state: State, found: Mapping[str, Any]) -> None:
    """Puts a state back that `State.state_dict` gave.

    Args:
        state: The training as it is before its first step.
        found: What `load_checkpoint` read.

    Raises:
        CheckpointError: If it is of another training, or its parts do not belong together.
    """
    try:
        _require_position(found, state)
        _require_history(found["history"], found["epoch"])
        _require_optimizer(found["optimizer"], state)
        _require_sparsity(found["sparsity"], state)
        _require_best(found, state)
        if found["best"] is not None:  # put in place at the end of the training, and not to fail there
            state.sparsity.load_state_dict(found["best"]["sparsity"])
        state.load_state_dict(dict(found))
    except _FAULTS as error:  # of ours, and whatever torch says of what does not fit
        source = found.get("source") or "The state to go on from"
        what = " ".join(f"{type(error).__name__}: {error}".split())
        raise CheckpointError(
            f"{source} does not fit this run ({what}). Move it away to train from the beginning.", source=source
        ) from error


def _require(condition: bool, fault: str) -> None:
    if not condition:
        raise InvalidInput(fault)


def _is_count(value: object, most: float = math.inf) -> bool:
    return type(value) is int and 0 <= value <= most


def _require_position(found: Mapping[str, Any], state: State) -> None:
    epochs, steps = state.settings.values.epochs, state.steps_per_epoch
    epoch, batch, totals, own = found["epoch"], found["batch"], found["totals"], vars(state.totals)
    _require(_is_count(epoch, epochs), f"its epoch is {epoch!r}, of {epochs}")
    _require(_is_count(batch, steps), f"its batch is {batch!r}, of {steps}")
    _require(epoch < epochs or batch == 0, f"its batch is {batch!r} behind the last epoch")
    _require(set(totals) == set(own), f"its totals are {sorted(totals)}")
    for name, value in own.items():
        if isinstance(value, Tensor):
            _require_like(totals[name], value, name)
        else:
            _require(isinstance(totals[name], _NUMBER) and totals[name] >= 0, f"its {name} are {totals[name]!r}")
    _require(set(found["scaler"]) == set(state.scaler.state_dict()), "its loss scale is of another precision")
    _require(all(isinstance(value, _NUMBER) for value in found["scaler"].values()), "its loss scale is no number")


def _require_history(history: Any, epochs: int) -> None:
    _require(isinstance(history, list) and len(history) == epochs, f"its history has not {epochs} epochs")
    for number, row in enumerate(history, start=1):
        _require(Epoch.model_validate(row).epoch == number, f"its history has another epoch {number}")
        plain = all(isinstance(value, _NUMBER) or value is None for value in row.values())
        _require(plain, f"its epoch {number} holds what is no number")


def _require_optimizer(found: Mapping[str, Any], state: State) -> None:
    """Groups are as the config makes them, but for the rate; what belongs to a weight has its shape."""
    groups, own = found["param_groups"], state.optimizer.state_dict()["param_groups"]
    _require(len(groups) == len(own), f"its optimizer has {len(groups)} groups, not {len(own)}")
    for group, like in zip(groups, own, strict=True):
        for name in (group.keys() & like.keys()) - {"lr"}:
            _require(bool(group[name] == like[name]), f"its optimizer has {name} {group[name]!r}, not {like[name]!r}")
    parameters = [parameter for group in state.optimizer.param_groups for parameter in group["params"]]
    names = {frozenset(values) for values in found["state"].values()}
    _require(len(names) <= 1, "its optimizer knows more of one weight than of another")
    for number, values in found["state"].items():
        _require(_is_count(number, len(parameters) - 1), f"its optimizer has no weight {number!r}")
        for name, value in values.items():
            fits = value is None or isinstance(value, _NUMBER) or value.shape in ((), parameters[number].shape)
            _require(fits, f"its {name} has not the shape of weight {number}")
            _require(not isinstance(value, Tensor) or value.is_floating_point(), f"its {name} holds no fractions")


def _require_sparsity(found: Mapping[str, Any], state: State) -> None:
    own, shapes = state.sparsity.state_dict(), state.sparsity.masks.shapes
    _require(set(found) == set(own), f"its masks come with {sorted(found)}")
    _require(read_shapes(found["metadata"]) == shapes, "its masks are of other layers")  # before they are drawn
    for when in ("initial", "final"):
        counts = found[when]
        _require(set(counts) == set(shapes) and all(map(_is_count, counts.values())), f"its {when} counts are others")
    _require(len(found["attachments"]) == len(own["attachments"]), "its masks follow another number of optimizers")
    for values, like in zip(found["attachments"], own["attachments"], strict=True):
        _require(set(values) == set(like), f"its masks move with {sorted(values)}")
        steps = values["steps"]
        _require(_is_count(values["step"]) and (steps is None or _is_count(steps)), "its masks count no steps")
        for name, tensor in [*values["explored"].items(), *values["momentum"].items()]:
            _require(tuple(tensor.shape) == shapes[name], f"it explored another shape of {name!r}")
        _require(all(v.dtype.itemsize == 1 for v in values["explored"].values()), "it explored what is no mask")
        _require((values["watch"] is None) == (like["watch"] is None), "it has other --diagnostics")
    for part, like in own["reserve"].items():
        _require(found["reserve"][part].keys() == like.keys(), f"its reserve has other {part}")
        for name, tensor in like.items():
            _require_like(found["reserve"][part][name], tensor, name)


def _require_best(found: Mapping[str, Any], state: State) -> None:
    """The best epoch's weights are put in place at the end of the training: they look like the last ones."""
    best, epoch = found["best"], found["epoch"]
    own = state.model.state_dict()
    _require_model(found["model"], own, state)
    if best is None:
        return
    _require(_is_count(best["epoch"], epoch) and best["epoch"] > 0, f"its best epoch is {best['epoch']!r} of {epoch}")
    _require(isinstance(best["accuracy"], _NUMBER) and 0 <= best["accuracy"] <= 1, "its best accuracy is none")
    _require_model(best["model"], own, state)
    _require_sparsity(best["sparsity"], state)


def _require_model(found: Mapping[str, Any], own: Mapping[str, Any], state: State) -> None:
    _require(found.keys() == own.keys(), f"it lacks or adds {sorted(found.keys() ^ own.keys())[:3]}")
    compact = bool(
        state.sparsity.masked_model.sparse_layers()
    )  # what stores kept values only changes its size with them
    for name, like in own.items():
        if isinstance(like, Tensor) and not compact:
            _require_like(found[name], like, name)
        elif isinstance(like, Tensor):
            _require(found[name].dtype == like.dtype, f"its {name!r} is {found[name].dtype}, not {like.dtype}")


def _require_like(found: Any, like: Tensor, name: str) -> None:
    came, want = (found.dtype, tuple(found.shape)), (like.dtype, tuple(like.shape))
    _require(came == want, f"its {name!r} is {came}, not {want}")
