"""Saving the state of a training, so that it can be killed at any moment."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import torch

from rarefy.paths import replacing
from rarefy.training._state import Event, State


class CheckpointError(ValueError):
    """A checkpoint that cannot be continued; the message says why and what to do."""


class Checkpoint:
    """Saves after every epoch, every so many seconds in between, and when training is asked to stop.

    It saves between two steps only, and never a state that is no longer finite.

    Args:
        path: The file; written beside and renamed, so that a kill leaves the last good one.
        run: Id of the run, written into the file and asked for on load.
        every_seconds: Longest time between two saves; when they happen changes no bit of the result.

    Example:
        >>> Checkpoint(Path("last.ckpt"), run="3f2a9c1b77de", every_seconds=60).run
        '3f2a9c1b77de'
    """

    def __init__(self, path: Path, *, run: str, every_seconds: float) -> None:
        self.path, self.run, self.every_seconds = path, run, every_seconds
        self._saved_at = time.monotonic()
        self._saved_step = -1

    def __call__(self, event: Event, state: State) -> None:
        """Saves when it is time."""
        if event is Event.START:
            self._saved_step = state.step
        elif event in (Event.EPOCH, Event.STOP) or (event is Event.STEP and self._is_due()):
            self._save(state)

    def _is_due(self) -> bool:
        return time.monotonic() - self._saved_at >= self.every_seconds

    def _save(self, state: State) -> None:
        if state.step == self._saved_step or not _is_finite(state):
            return
        content = io.BytesIO()
        torch.save({"run": self.run, "state": state.state_dict()}, content)
        with replacing(self.path) as partial:
            partial.write_bytes(content.getbuffer())
        self._saved_at, self._saved_step = time.monotonic(), state.step


def _is_finite(state: State) -> bool:
    tensors = [state.totals.loss, *state.model.parameters()]
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)


def load_checkpoint(path: Path, *, run: str) -> dict[str, Any] | None:
    """Reads what `Checkpoint` saved, without pickle; None if there is no such file.

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
    return dict(state)
