"""Writes one JSON line per epoch during training."""

from __future__ import annotations

import json
from pathlib import Path

from rarefy.paths import replace_file
from rarefy.training._state import Event, State


class HistoryFile:
    """Callback that writes ``history.jsonl``: the resumed epochs at the start, then one line after every epoch.

    Args:
        path: The file.

    Example:
        >>> HistoryFile(Path("history.jsonl")).path.name
        'history.jsonl'
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, event: Event, state: State) -> None:
        """Writes the new lines."""
        if event is Event.START:
            with replace_file(self.path) as partial:
                partial.write_text("".join(json.dumps(row) + "\n" for row in state.history), encoding="utf-8")
        elif event is Event.EPOCH:
            try:
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(state.history[-1]) + "\n")
            except OSError as error:
                error.filename = error.filename or str(self.path)  # ENOSPC carries no file name
                raise
