"""Saving the state of a training, so that it can be killed at any moment."""

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
    """A checkpoint that cannot be continued; the message says why and what to do.

    Attributes:
        source: The file.
    """

    source: str = ""


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
        if state.world.is_rank0:
            content = io.BytesIO()
            torch.save({"run": self.run, "about": dict(self.about), "state": values}, content)
            with replace_file(self.path) as partial:
                partial.write_bytes(content.getbuffer())
        self._saved_at, self._saved_step = time.monotonic(), state.step


def _is_finite(state: State) -> bool:
    tensors = [state.totals.loss, *state.model.parameters()]
    return not _any(state, not all(bool(torch.isfinite(to_local(tensor)).all()) for tensor in tensors))


def _any(state: State, flag: bool) -> bool:
    """Whether the flag is up, on any rank where they save together."""
    return state.world.any_rank(flag) if state.sharded else flag


def load_checkpoint(path: Path, *, run: str) -> dict[str, Any] | None:
    """Reads what `Checkpoint` saved, without pickle: the state, ``about`` and the file, ``source``; None without one.

    Whether the state fits a training is seen when it is put back.

    Raises:
        CheckpointError: If the file is damaged or of another run.
        OSError: If it cannot be read, which says nothing of what is in it; it names the file.
        MemoryError: If there is no memory for it.

    Example:
        >>> load_checkpoint(Path("nowhere/last.ckpt"), run="3f2a9c1b77de") is None
        True
    """
    if not path.is_file():
        return None
    try:
        _require_whole(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
        _require_plain(content)
        found, state = content["run"], content["state"]
        progress = [state[name] for name in ("epoch", "batch", "ranks")]
        if not all(type(number) is int and number >= 0 for number in progress) or state["ranks"] < 1:
            raise InvalidInput(f"epoch, batch and ranks are {progress}")
        about = _read_about(content.get("about", {}))
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in (errno.EINVAL, None):  # which a cut file gives
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        if is_out_of_memory(error):
            raise MemoryError(f"There is no memory for the content of {path}.") from error
        raise CheckpointError(
            f"{path} is damaged ({type(error).__name__}). Move it away to train from the beginning.", source=str(path)
        ) from error
    if found != run:
        raise CheckpointError(
            f"{path} is of run {found}, not of {run}. Move it away to train from the beginning.", source=str(path)
        )
    return dict(state) | {"about": about, "source": str(path)}


def _require_whole(path: Path) -> None:
    """Refuses an archive that would unpack to more than it is, or with a byte that has changed."""
    with zipfile.ZipFile(path) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise InvalidInput("it is compressed")
        damaged = archive.testzip()
    if damaged is not None:
        raise InvalidInput(f"{damaged} has changed")


def _require_plain(content: Any) -> None:
    """Refuses what no state holds: values that hold themselves, tensors larger than their memory or of other kinds."""
    level, seen = [content], set[int]()
    while level:
        inner: list[Any] = []
        for value in level:
            if isinstance(value, Tensor):
                memory = value.untyped_storage().nbytes() if value.layout == torch.strided else -1
                if value.is_quantized or value.numel() * value.element_size() > memory:
                    raise InvalidInput(f"a tensor of shape {tuple(value.shape)} is not in it")
                if value.device.type != "cpu":
                    raise InvalidInput(f"a tensor is on the device {value.device}")
            elif isinstance(value, dict | list | tuple):
                if id(value) not in seen:
                    inner += [*value, *value.values()] if isinstance(value, dict) else value
                seen.add(id(value))
            elif not isinstance(value, _PLAIN):
                raise InvalidInput(f"a {type(value).__name__} is in it")
        level = inner


def _read_about(about: Any) -> dict[str, Any]:
    """What a run keeps beside its state: the fingerprint of its data, and its notes."""
    data, notes = about.get("data"), about.get("notes", ())
    if not isinstance(data, str | None) or not all(isinstance(note, str) for note in notes):
        raise InvalidInput(f"its data are {data!r}, its notes {notes!r}")
    return dict(about)
