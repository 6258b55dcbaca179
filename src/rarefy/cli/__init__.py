"""Room: the command line; the only place that prints. Door: ``main``. Torch waits for the command that needs it."""

from rarefy.cli._app import main

__all__ = ["main"]
