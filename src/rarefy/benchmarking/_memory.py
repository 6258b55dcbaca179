"""Measures the peak memory of a call, whichever library allocates it."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path

_PROCESS = Path("/proc/self")


def measure_peak_memory(function: Callable[[], object]) -> int | None:
    """Measures the peak resident memory during a call, beyond what the process held before.

    The system counts pages, so the memory of every library is included, to some tens of kilobytes.

    Args:
        function: The function to call.

    Returns:
        Bytes; None if the system does not report it.

    Example:
        >>> peak = measure_peak_memory(lambda: bytearray(64 * 2**20))
        >>> peak is None or peak > 60 * 2**20
        True
    """
    gc.collect()
    _trim_heap()
    if not _reset_peak():
        function()
        return None
    before = _read_kilobytes("VmRSS")
    function()
    return max(0, _read_kilobytes("VmHWM") - before) * 1024


def _reset_peak() -> bool:
    try:
        (_PROCESS / "clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _read_kilobytes(name: str) -> int:
    lines = (_PROCESS / "status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def _trim_heap() -> None:
    """Returns freed memory to the system, so that the next allocations are counted."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError, TypeError):  # another C library
        return
