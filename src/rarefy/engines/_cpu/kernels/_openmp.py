"""Torch's own OpenMP threads, for kernels: one pool on the cores, never two that fight.

A thread of OpenMP that has nothing to do spins for some milliseconds before it sleeps. Threads of another pool would
share its core with it; a task given to that very thread starts at once. So the copy of OpenMP that torch has loaded is
called, whatever its name is.
"""

from __future__ import annotations

import ctypes
import functools
import os
from pathlib import Path
from typing import NamedTuple

import torch


class Team(NamedTuple):
    """Threads of OpenMP.

    Args:
        process: Whose they are.
        addresses: Of GOMP_parallel, omp_get_thread_num and omp_get_num_threads.
    """

    process: int
    addresses: tuple[int, int, int]


@functools.cache
def team() -> Team | None:
    """Torch's threads; None where torch has no OpenMP that can be called."""
    library = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    try:
        loaded = ctypes.CDLL(str(library))  # finds what the library itself depends on
        run, number, size = loaded.GOMP_parallel, loaded.omp_get_thread_num, loaded.omp_get_num_threads
    except (OSError, AttributeError):
        return None
    return Team(os.getpid(), (_address(run), _address(number), _address(size)))


def _address(function: ctypes._NamedFuncPointer) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0
