"""Checks that Numba can be imported, and compiles the kernels."""

from __future__ import annotations

import importlib
import time

from rarefy.errors import RarefyError


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


def compile_kernels() -> float:
    """Compiles every kernel, or loads the machine code that was compiled before on this machine.

    Returns:
        Seconds it took: some tens the first time on a machine, well under one later.

    Raises:
        KernelsMissing: If numba cannot be imported.

    Example:
        >>> compile_kernels() >= 0
        True
    """
    require_numba()
    start = time.perf_counter()
    import torch

    from rarefy.engines._cpu._precompile import precompile

    with torch.enable_grad():
        precompile()
    return time.perf_counter() - start
