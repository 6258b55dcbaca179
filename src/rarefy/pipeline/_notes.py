"""What a run warns about, kept for its record."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from rarefy.pipeline._folder import LOG


@contextlib.contextmanager
def take_notes() -> Iterator[list[str]]:
    """Collects the warnings of rarefy's log while the context lasts, each sentence once.

    A warning that is of the machine or of single files, and not of the run, says so: ``extra={"noted": False}``. What
    is no warning and belongs into the record says ``extra={"noted": True}``.
    """
    notes: list[str] = []
    taker = _NoteTaker(notes)
    LOG.addHandler(taker)
    try:
        yield notes
    finally:
        LOG.removeHandler(taker)


class _NoteTaker(logging.Handler):
    def __init__(self, notes: list[str]) -> None:
        super().__init__()
        self._notes = notes

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if getattr(record, "noted", record.levelno >= logging.WARNING) and text not in self._notes:
            self._notes.append(text)
