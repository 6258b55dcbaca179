"""Compiles what Python calls of the kernels, or loads it as it was compiled before."""

# mypy: ignore-errors

from __future__ import annotations

import pickle

from numba import njit
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from rarefy.engines._cpu.kernels._store import read_entry, write_entry


def kept_njit(**options):
    """Decorates a function as `numba.njit` does; machine code is kept in the project's folder for caches.

    Numba's own ``cache=True`` writes beside the source or into the home folder, which fails where neither can be
    written, and notices no edit of a file from which a kernel takes an intrinsic.

    Args:
        options: Those of `numba.njit`.

    Returns:
        The decorator.
    """

    def decorate(function):
        dispatcher = njit(**options)(function)
        dispatcher._cache = _Kept(function)
        return dispatcher

    return decorate


class _Kept:
    """What a dispatcher of numba asks before it compiles, and tells afterwards."""

    def __init__(self, function):
        self.name = f"{function.__module__}.{function.__qualname__}"
        self.cache_path = None  # numba's statistics show it

    def load_overload(self, signature, context):
        context.refresh()
        content = read_entry(context.codegen().magic_tuple(), f"{self.name}{signature}")
        return None if content is None else CompileResult._rebuild(context, *pickle.loads(content))

    def save_overload(self, signature, result):
        content = dumps(result._reduce())
        write_entry(result.codegen.magic_tuple(), f"{self.name}{signature}", content)

    def flush(self):
        """Old code is of other sources and lies elsewhere."""
