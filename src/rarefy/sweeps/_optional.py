"""Optional libraries and option checks of executors."""

from __future__ import annotations

import importlib
from typing import Any

from rarefy.errors import InvalidInput
from rarefy.installation import format_install_command
from rarefy.sweeps._sweep import SweepError


def import_optional(library: str, executor: str) -> Any:
    """Imports the library that an executor needs.

    Raises:
        SweepError: If it is not installed; the message has the pip command.
    """
    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise SweepError(
            f"The executor {executor!r} needs {library}, which is not installed: {format_install_command(executor)}"
        ) from error


def check_counts(executor: object, *names: str) -> None:
    """Raises ValueError if one of the fields is below 1; None is allowed."""
    for name in names:
        value = getattr(executor, name)
        if value is not None and value < 1:
            raise InvalidInput(f"{name} has to be at least 1, got {value}", name=name, value=value)
