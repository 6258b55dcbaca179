"""Collects the warnings of a run for its record."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from rarefy.pipeline._folder import LOG


@contextlib.contextmanager
def collect_warnings() -> Iterator[list[str]]:
    """Context that collects the warnings of rarefy's log, each text once.

    A warning about the machine or single files is excluded by ``extra={"noted": False}``; a message of another level is
    included by ``extra={"noted": True}``.
    """
    notes: list[str] = []
    collector = _WarningCollector(notes)
    LOG.addHandler(collector)
    try:
        yield notes
    finally:
        LOG.removeHandler(collector)


class _WarningCollector(logging.Handler):
    def __init__(self, notes: list[str]) -> None:
        super().__init__()
        self._notes = notes

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if getattr(record, "noted", record.levelno >= logging.WARNING) and text not in self._notes:
            self._notes.append(text)
