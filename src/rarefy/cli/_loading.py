"""Imports what trains, and says so on a terminal meanwhile."""

from __future__ import annotations

import importlib
import sys

from rarefy.cli._console import console


def import_torch() -> None:
    """Imports torch and the pipeline, which takes seconds; a terminal shows a line that goes away afterwards."""
    screen = console(error=True)
    if not screen.is_terminal or "rarefy.pipeline" in sys.modules:
        importlib.import_module("rarefy.pipeline")
        return
    from rich.live import Live

    with Live("loading torch ...", console=screen, auto_refresh=False, transient=True) as line:
        line.refresh()  # now: while torch is imported, no other thread may get to draw
        importlib.import_module("rarefy.pipeline")
