"""Checks that Numba can be imported, and reports the kernels that it compiles: each when a model first needs it."""

from __future__ import annotations

import importlib
import logging

from rarefy.errors import RarefyError

_LOG = logging.getLogger("rarefy")
_seconds = 0.0


class KernelsMissing(RarefyError, ImportError, ValueError):
    """Numba, which compiles the kernels, cannot be imported. The message says why."""


def require_numba() -> None:
    """Checks that Numba can be imported: a dependency may still be missing, or not fit the other packages.

    Raises:
        KernelsMissing: If it cannot be imported.

    Example:
        >>> require_numba()
    """
    try:
        importlib.import_module("numba")
    except ImportError as error:
        raise KernelsMissing(
            f"numba, which compiles the sparse kernels, cannot be imported ({error}). Install it again with "
            "`pip install numba`, or use the engine 'masked', which needs no kernels."
        ) from error


def get_compile_seconds() -> float:
    """Returns the seconds that this process has spent on compiling kernels and on loading compiled ones.

    Example:
        >>> get_compile_seconds() >= 0
        True
    """
    return _seconds


def add_compile_seconds(seconds: float) -> None:
    """Adds to what `get_compile_seconds` returns."""
    global _seconds
    _seconds += seconds


def report_compilation(name: str) -> None:
    """Logs that a kernel is being compiled, which takes up to some seconds; the command line shows it."""
    _LOG.info("compiling the kernel %s, once on this machine", name, extra={"shown": True})
