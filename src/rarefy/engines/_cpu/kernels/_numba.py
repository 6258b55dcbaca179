"""What the kernels use of Numba and llvmlite beyond their public interfaces, each with the reason.

`tests/engines/_cpu/test_numba_internals.py` checks every one of them and names the Numba that changed it.
"""

# mypy: ignore-errors

from __future__ import annotations

import contextlib
import ctypes
import gc
import pickle
import time

from llvmlite import ir
from llvmlite.binding import Linkage
from numba import njit
from numba.core import cgutils, config, types
from numba.core.codegen import JITCodeLibrary, get_host_cpu_features
from numba.core.compiler import Compiler, CompileResult
from numba.core.serialize import dumps

from rarefy.engines._cpu._compile import add_compile_seconds, report_compilation
from rarefy.engines._cpu.kernels._store import read_entry, write_entry

__all__ = ["cached_njit", "call_compiled", "cast_pointer", "cgutils", "get_cpu_features", "get_data", "inner_njit"]


def inner_njit(**options):
    """Decorates a function that only kernels call, without reference counts: they cost as much as a short loop.

    It gets no machine code of its own, which would take as long as that of the kernels. Called from Python, it raises
    a TypeError.

    Args:
        options: Those of `numba.njit`. The option ``_nrt`` is Numba's own and not documented.
    """
    wrappers = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "error_model": "numpy"}
    return njit(nogil=True, _nrt=False, pipeline_class=_InnerCompiler, **wrappers, **options)


def cached_njit(**options):
    """Decorates a function as `numba.njit` does, and keeps its machine code in the project's cache folder.

    Numba's own ``cache=True`` writes next to the source or into the home folder, which fails where neither can be
    written, and does not notice when a file changes from which a kernel takes an intrinsic.

    Args:
        options: Those of `numba.njit`.

    Returns:
        The decorator.
    """

    def decorate(function):
        dispatcher = njit(nogil=True, no_cfunc_wrapper=True, pipeline_class=_Compiler, **options)(function)
        dispatcher._cache = _DiskCache(function)
        return dispatcher

    return decorate


@contextlib.contextmanager
def pause_garbage_collection():
    """Pauses the search for reference cycles, which Numba starts often and which visits all objects of torch."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _UncollectedCompiler(Compiler):
    """Numba's compiler without garbage collections, which take a quarter of its time."""

    def compile_extra(self, function):
        with pause_garbage_collection():
            return super().compile_extra(function)


class _Compiler(_UncollectedCompiler):
    """Numba's compiler, but each kernel goes into a `_Library`."""

    def __init__(self, typing_context, target_context, library, *others):
        library = _Library(target_context.codegen(), "kernel")
        library.enable_object_caching()
        super().__init__(typing_context, target_context, library, *others)


class _Library(JITCodeLibrary):
    """The machine code of a kernel, which calls its own copies of other functions.

    Numba makes the symbols of those copies weak: every kernel then calls the first function of that name in the
    process. Where kernels are compiled, this is the function on its own; where they are loaded, the copy in the kernel
    that is loaded first. LLVM optimized these apart, so they round differently. An internal symbol has one kernel.
    """

    def _optimize_final_module(self):
        passes, builder = self._codegen._module_pass_manager()
        passes.run(self._final_module, builder)
        for function in self._final_module.functions:
            if function.linkage == Linkage.linkonce_odr:
                function.linkage = Linkage.internal


class _InnerCompiler(_UncollectedCompiler):
    """Numba's compiler, but each function goes into an `_InnerLibrary`."""

    def __init__(self, typing_context, target_context, library, *others):
        super().__init__(typing_context, target_context, _InnerLibrary(target_context.codegen(), "inner"), *others)


class _InnerLibrary(JITCodeLibrary):
    """A function for kernels to link: neither optimized nor translated to machine code."""

    def _optimize_functions(self, module):
        module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self):
        """Does nothing: the kernel is optimized when all its functions are linked, and each of them only then."""

    def _finalize_final_module(self):
        self._finalized = True

    def get_pointer_to_function(self, name):
        """Returns what runs if Python calls the function: Python's own call of the object, which is not callable."""
        return ctypes.cast(ctypes.pythonapi.PyObject_Call, ctypes.c_void_p).value

    @property
    def codegen(self):
        return _NoEnvironment


class _NoEnvironment:
    """Takes the place of the machine code that needs to know a function's Python objects."""

    @staticmethod
    def set_env(name, environment):
        """Does nothing."""


class _DiskCache:
    """The object that a Numba dispatcher calls before and after it compiles."""

    def __init__(self, function):
        self.name = f"{function.__module__}.{function.__qualname__}"
        self.cache_path = None  # Numba's statistics show it
        self._started_at = 0.0

    def load_overload(self, signature, context):
        self._started_at = time.perf_counter()
        with pause_garbage_collection():
            context.refresh()
        content = read_entry(context.codegen().magic_tuple(), f"{self.name}{signature}")
        if content is None:
            report_compilation(self.name.rpartition(".")[2])
            return None
        result = CompileResult._rebuild(context, *pickle.loads(content))
        add_compile_seconds(time.perf_counter() - self._started_at)
        return result

    def save_overload(self, signature, result):
        content = dumps(result._reduce())
        write_entry(result.codegen.magic_tuple(), f"{self.name}{signature}", content)
        add_compile_seconds(time.perf_counter() - self._started_at)

    def flush(self):
        """Does nothing: machine code of other sources is in another folder."""


def get_cpu_features() -> str:
    """Returns the features that Numba compiles for: those of NUMBA_CPU_FEATURES, or the processor's without bugs."""
    return get_host_cpu_features() if config.CPU_FEATURES is None else config.CPU_FEATURES


def get_data(context, builder, kind, value):
    """Returns an array argument's pointer to its data, or any other argument as it is."""
    return context.make_array(kind)(context, builder, value).data if isinstance(kind, types.Array) else value


def cast_pointer(builder, pointer, index, kind):
    """Returns the address of element `index` as a pointer to another type.

    llvmlite's typed pointers go away, but Numba 0.61 to 0.69 has LLVM versions that need them.
    """
    return builder.bitcast(builder.gep(pointer, [index]), kind.as_pointer())


def call_compiled(context, builder, compiled, values):
    """Calls a compiled kernel from another one, in which it must not raise."""
    context.call_internal_no_propagate(builder, compiled.fndesc, compiled.signature, values)


def make_pointer_type(kind: ir.Type) -> ir.Type:
    """Returns the type of pointers to a type; see `cast_pointer`."""
    return kind.as_pointer()
