"""Saving the state of a training, so that it can be killed at any moment."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from rarefy.errors import RarefyError
from rarefy.paths import replacing
from rarefy.shards import local
from rarefy.training._state import Event, State


class CheckpointError(RarefyError, ValueError):
    """A checkpoint that cannot be continued; the message says why and what to do."""


class Checkpoint:
    """Saves after every epoch, every so many seconds in between, and when training is asked to stop.

    It saves between two steps only, and never a state that is no longer finite. The first rank writes; where weights
    are sharded the others have to have this callback, too, and hand over what they hold.

    Args:
        path: The file; written beside and renamed, so that a kill leaves the last good one.
        run: Id of the run, written into the file and asked for on load.
        every_seconds: Longest time between two saves; when they happen changes no bit of the result.
        about: What else is kept in the file, as plain values.

    Example:
        >>> Checkpoint(Path("last.ckpt"), run="3f2a9c1b77de", every_seconds=60).run
        '3f2a9c1b77de'
    """

    def __init__(
        self, path: Path, *, run: str, every_seconds: float, about: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        self.path, self.run, self.every_seconds, self.about = path, run, every_seconds, about
        self._saved_at = time.monotonic()
        self._saved_step = -1

    def __call__(self, event: Event, state: State) -> None:
        """Saves when it is time."""
        if event is Event.START:
            self._saved_step = state.step
        elif event in (Event.EPOCH, Event.STOP) or (event is Event.STEP and self._is_due(state)):
            self._save(state)

    def _is_due(self, state: State) -> bool:
        return _any(state, time.monotonic() - self._saved_at >= self.every_seconds)

    def _save(self, state: State) -> None:
        if state.step == self._saved_step or not _is_finite(state):
            return
        values = state.state_dict()
        if state.world.is_first:
            content = io.BytesIO()
            torch.save({"run": self.run, "about": dict(self.about), "state": values}, content)
            with replacing(self.path) as partial:
                partial.write_bytes(content.getbuffer())
        self._saved_at, self._saved_step = time.monotonic(), state.step


def _is_finite(state: State) -> bool:
    tensors = [state.totals.loss, *state.model.parameters()]
    return not _any(state, not all(bool(torch.isfinite(local(tensor)).all()) for tensor in tensors))


def _any(state: State, flag: bool) -> bool:
    """Whether the flag is up, on any rank where they save together."""
    return state.world.any(flag) if state.sharded else flag


def load_checkpoint(path: Path, *, run: str) -> dict[str, Any] | None:
    """Reads what `Checkpoint` saved, without pickle: the state, and ``about``; None if there is no such file.

    Raises:
        CheckpointError: If the file is damaged or of another run.

    Example:
        >>> load_checkpoint(Path("nowhere/last.ckpt"), run="3f2a9c1b77de") is None
        True
    """
    if not path.is_file():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        found, state = content["run"], content["state"]
    except Exception as error:
        raise CheckpointError(f"{path} is damaged. Delete it to train from the beginning.") from error
    if found != run:
        raise CheckpointError(f"{path} is of run {found}, not of {run}. Move it away to train from the beginning.")
    return dict(state) | {"about": content.get("about", {})}
