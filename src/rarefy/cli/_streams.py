"""Handles output streams that cannot encode a character or close early, and signals."""

from __future__ import annotations

import codecs
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import IO, Any

from rarefy.errors import RarefyError

_NAMES = ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGBREAK")  # Windows has the first and the last, other systems the others
STOPPING = tuple(number for name in _NAMES if (number := getattr(signal, name, None)))
_ASCII = {"±": "+-", "…": "..."}


class OutputClosed(RarefyError):
    """The reader of the output closed it, as ``| head`` does."""


def write_any_letter() -> None:
    """Makes stdout and stderr replace characters that they cannot encode."""
    codecs.register_error("rarefy", _stand_in)
    for stream in (sys.stdout, sys.stderr):
        if getattr(stream, "errors", None) == "strict":
            stream.reconfigure(errors="rarefy")  # type: ignore[union-attr]  # a text stream


def _stand_in(error: UnicodeError) -> tuple[str | bytes, int]:
    if isinstance(error, UnicodeEncodeError):
        letter = error.object[error.start]
        if letter in _ASCII:
            return _ASCII[letter], error.start + 1
    return codecs.backslashreplace_errors(error)


def close_stream(stream: IO[Any]) -> None:
    """Redirects a stream to /dev/null, so that flushing it at exit does not fail."""
    with contextlib.suppress(OSError, ValueError):  # a test's stream has no number
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextlib.contextmanager
def stop_on_signals() -> Iterator[None]:
    """Makes SIGTERM, SIGHUP and SIGUSR1 end a command as Ctrl-C does, until training installs its own handlers.

    Signals that the caller ignores (``nohup`` and SIGHUP) or handles are left alone.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in STOPPING}
    mine = [number for number, handler in before.items() if handler is signal.SIG_DFL]
    for number in mine:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number in mine:
            if signal.getsignal(number) is _interrupt:
                signal.signal(number, signal.SIG_DFL)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
