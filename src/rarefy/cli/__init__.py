"""The command line, the only package that prints. Commands import torch only if they need it."""

from rarefy.cli._app import main

__all__ = ["main"]
