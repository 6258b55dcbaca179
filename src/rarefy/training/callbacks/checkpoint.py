"""Checkpoints from which an interrupted training resumes."""

from __future__ import annotations

import errno
import io
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from rarefy.errors import InvalidInput, RarefyError, is_out_of_memory
from rarefy.paths import replace_file
from rarefy.shards import to_local
from rarefy.training._state import Event, State

_PLAIN = (str, int, float, bool, type(None))


class CheckpointError(RarefyError, ValueError):
    """A checkpoint from which training cannot resume; the message says why and what to do.

    Attributes:
        source: The file.
    """

    source: str = ""


class Checkpoint:
    """Callback that saves after every epoch, every `every_seconds` in between, and before training stops early.

    It saves only between two steps and only finite states. Rank 0 writes the file; with sharded weights all ranks need
    this callback, because their shards are gathered.

    Args:
        path: The file; replaced atomically, so that a kill leaves the previous one.
        run: Id of the run, stored in the file and checked on load.
        every_seconds: Longest time between two saves; their times do not change the result.
        metadata: Further plain values to store in the file.

    Example:
        >>> Checkpoint(Path("last.ckpt"), run="3f2a9c1b77de", every_seconds=60).run
        '3f2a9c1b77de'
    """

    def __init__(
        self, path: Path, *, run: str, every_seconds: float, metadata: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        self.path, self.run, self.every_seconds, self.metadata = path, run, every_seconds, metadata
        self._saved_at = time.monotonic()
        self._saved_step = -1

    def __call__(self, event: Event, state: State) -> None:
        """Saves if a save is due."""
        if event is Event.START:
            self._saved_step = state.step
        elif event in (Event.EPOCH, Event.STOP) or (event is Event.STEP and self._is_due(state)):
            self._save(state)

    def _is_due(self, state: State) -> bool:
        return _is_any(state, time.monotonic() - self._saved_at >= self.every_seconds)

    def _save(self, state: State) -> None:
        if state.step == self._saved_step or not _is_finite(state):
            return
        values = state.state_dict()
        if state.world.is_rank0:
            content = io.BytesIO()
            torch.save({"run": self.run, "about": dict(self.metadata), "state": values}, content)
            with replace_file(self.path) as partial:
                partial.write_bytes(content.getbuffer())
        self._saved_at, self._saved_step = time.monotonic(), state.step


def _is_finite(state: State) -> bool:
    tensors = [state.totals.loss, *state.model.parameters()]
    return not _is_any(state, not all(bool(torch.isfinite(to_local(tensor)).all()) for tensor in tensors))


def _is_any(state: State, flag: bool) -> bool:
    """Whether the flag is set, on any rank if weights are sharded."""
    return state.world.any_rank(flag) if state.sharded else flag


def load_checkpoint(path: Path, *, run: str) -> dict[str, Any] | None:
    """Reads a checkpoint without pickle: the state, metadata as ``about``, path as ``source``; None if there is none.

    Whether the state fits a training is checked when it is loaded into one.

    Raises:
        CheckpointError: If the file is damaged or belongs to another run.
        OSError: If it cannot be read; the error names the file.
        MemoryError: If it does not fit into memory.

    Example:
        >>> load_checkpoint(Path("nowhere/last.ckpt"), run="3f2a9c1b77de") is None
        True
    """
    if not path.is_file():
        return None
    try:
        _require_undamaged(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
        _require_plain(content)
        saved_run, state = content["run"], content["state"]
        position = [state[name] for name in ("epoch", "batch", "ranks")]
        if not all(type(number) is int and number >= 0 for number in position) or state["ranks"] < 1:
            raise InvalidInput(f"epoch, batch and ranks are {position}")
        metadata = _read_metadata(content.get("about", {}))
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in (errno.EINVAL, None):  # EINVAL: the file is truncated
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        if is_out_of_memory(error):
            raise MemoryError(f"The content of {path} does not fit into memory.") from error
        raise CheckpointError(
            f"{path} is damaged ({type(error).__name__}). Move it away to train from the beginning.", source=str(path)
        ) from error
    if saved_run != run:
        raise CheckpointError(
            f"{path} is of run {saved_run}, not of {run}. Move it away to train from the beginning.", source=str(path)
        )
    return dict(state) | {"about": metadata, "source": str(path)}


def _require_undamaged(path: Path) -> None:
    """Raises if an archive is compressed (it could unpack to any size) or a checksum does not match."""
    with zipfile.ZipFile(path) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise InvalidInput("it is compressed")
        damaged = archive.testzip()
    if damaged is not None:
        raise InvalidInput(f"{damaged} has changed")


def _require_plain(content: Any) -> None:
    """Raises for values that no state holds: tensors without memory of their own, on other devices, other objects."""
    level, visited = [content], set[int]()
    while level:
        children: list[Any] = []
        for value in level:
            if isinstance(value, Tensor):
                memory = value.untyped_storage().nbytes() if value.layout == torch.strided else -1
                if value.is_quantized or value.numel() * value.element_size() > memory:
                    raise InvalidInput(f"a tensor of shape {tuple(value.shape)} is not in it")
                if value.device.type != "cpu":
                    raise InvalidInput(f"a tensor is on the device {value.device}")
            elif isinstance(value, dict | list | tuple):
                if id(value) not in visited:
                    children += [*value, *value.values()] if isinstance(value, dict) else value
                visited.add(id(value))
            elif not isinstance(value, _PLAIN):
                raise InvalidInput(f"a {type(value).__name__} is in it")
        level = children


def _read_metadata(metadata: Any) -> dict[str, Any]:
    """Checks a run's metadata: the fingerprint of its data and its notes."""
    data, notes = metadata.get("data"), metadata.get("notes", ())
    if not isinstance(data, str | None) or not all(isinstance(note, str) for note in notes):
        raise InvalidInput(f"its data are {data!r}, its notes {notes!r}")
    return dict(metadata)
