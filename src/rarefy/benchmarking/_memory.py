"""How much memory something takes, whoever allocates it."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path

_PROCESS = Path("/proc/self")


def peak_of(act: Callable[[], object]) -> int | None:
    """The most memory the process held during a call, beyond what it held before; None where the system cannot say.

    The system counts pages: torch's memory and that of other kernels alike, to some tens of kilobytes.

    Args:
        act: What is called.

    Example:
        >>> found = peak_of(lambda: bytearray(64 * 2**20))
        >>> found is None or found > 60 * 2**20
        True
    """
    gc.collect()
    _give_back()
    if not _forget_peak():
        act()
        return None
    before = _kilobytes("VmRSS")
    act()
    return max(0, _kilobytes("VmHWM") - before) * 1024


def _forget_peak() -> bool:
    try:
        (_PROCESS / "clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _kilobytes(name: str) -> int:
    lines = (_PROCESS / "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def _give_back() -> None:
    """Freed memory goes back to the system, so that what is allocated next is seen."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError, TypeError):  # another C library
        return
