"""Whether numba is there, and its kernels compiled."""

from __future__ import annotations

import importlib.util
import time

from rarefy.errors import RarefyError


class KernelsMissing(RarefyError, ImportError, ValueError):
    """Numba, which compiles the kernels, is not installed."""


def require() -> None:
    """Checks that numba is there.

    Raises:
        KernelsMissing: If it is not.

    Example:
        >>> require()
    """
    if importlib.util.find_spec("numba") is None:
        raise KernelsMissing(
            "The cpu engine compiles its kernels with numba, which is not installed. Install it with "
            "`pip install rarefy[fast]`, or take the engine 'masked'."
        )


def ready() -> float:
    """Compiles every kernel, or loads it from numba's cache on disk.

    Returns:
        Seconds it took: some tens the first time on a machine, well under one later.

    Raises:
        KernelsMissing: If numba is not installed.

    Example:
        >>> ready() >= 0
        True
    """
    require()
    start = time.perf_counter()
    import torch

    from rarefy.engines._cpu._warm import warm

    with torch.enable_grad():
        warm()
    return time.perf_counter() - start
