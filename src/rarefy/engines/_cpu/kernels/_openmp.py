"""Finds the OpenMP that torch has loaded, so that kernels run in torch's own threads.

An idle thread of OpenMP spins for some milliseconds before it sleeps, and would take a core from a second pool of
threads. So kernels call the copy of OpenMP that torch has loaded, whatever its file name (libgomp-....so.1). Torch has
no public way to it; `tests/engines/_cpu/test_numba_internals.py` checks that it is found.
"""

from __future__ import annotations

import ctypes
import functools
import os
from pathlib import Path
from typing import NamedTuple

import torch


class OpenMP(NamedTuple):
    """The OpenMP of a process.

    Args:
        process: Id of the process.
        addresses: Addresses of GOMP_parallel, omp_get_thread_num and omp_get_num_threads.
    """

    process: int
    addresses: tuple[int, int, int]


@functools.cache
def find_openmp() -> OpenMP | None:
    """Finds torch's OpenMP; None where torch has none that can be called."""
    library = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    try:
        loaded = ctypes.CDLL(str(library))  # also resolves symbols of the libraries that it depends on
        run, number, size = loaded.GOMP_parallel, loaded.omp_get_thread_num, loaded.omp_get_num_threads
    except (OSError, AttributeError):
        return None
    return OpenMP(os.getpid(), (_get_address(run), _get_address(number), _get_address(size)))


def _get_address(function: ctypes._NamedFuncPointer) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0
