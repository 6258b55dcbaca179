"""Runs one kernel in several threads of OpenMP without returning to Python.

A thread that needs Python's lock waits until another one releases it: tens of microseconds per kernel. So Python calls
a kernel once, and the kernel calls OpenMP: see `omp_parallel_for`.
"""

# mypy: ignore-errors

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from rarefy.engines._cpu.kernels._numba import call_compiled, cgutils, inner_njit, make_pointer_type

_INT, _LONG = ir.IntType(32), ir.IntType(64)
_NOTHING, _POINTER = ir.VoidType(), make_pointer_type(ir.IntType(8))


@intrinsic
def omp_parallel_for(typing, kernel, openmp, part, parts, arguments):
    """Calls kernel(part, parts, *arguments) for every part in 0, ..., parts - 1, each in a thread of its own.

    `openmp` has the addresses of GOMP_parallel, omp_get_thread_num and omp_get_num_threads; with zeros the calling
    thread computes only `part`. The kernel returns nothing and must not raise.
    """
    inner = kernel.get_call_type(typing, (types.int64, types.int64, *arguments.types), {})

    def generate(context, builder, signature, values):
        compiled = kernel.dispatcher.overloads[tuple(inner.args)]
        context.add_linking_libs([compiled.library])
        _, openmp, part, parts, arguments = values
        functions = cgutils.unpack_tuple(builder, openmp)

        def call(builder, part, parts, arguments):
            call_compiled(context, builder, compiled, (part, parts, *cgutils.unpack_tuple(builder, arguments)))

        body = _emit_thread_body(builder, [arguments.type, _LONG, _LONG, _LONG], call)
        with builder.if_else(builder.icmp_signed("==", functions[0], _LONG(0))) as (alone, threaded):
            with alone:
                call(builder, part, parts, arguments)
            with threaded:
                packed = cgutils.pack_struct(builder, [arguments, parts, *functions[1:]])
                address = builder.bitcast(cgutils.alloca_once_value(builder, packed), _POINTER)
                run = ir.FunctionType(_NOTHING, [body.type, _POINTER, _INT, _INT])
                run = builder.inttoptr(functions[0], make_pointer_type(run))
                builder.call(run, [body, address, builder.trunc(parts, _INT), _INT(0)])

    return types.void(kernel, openmp, part, parts, arguments), generate


def _emit_thread_body(outer, members, call):
    """Emits the function that each thread runs: it computes the parts of the thread's number."""
    kind = ir.FunctionType(_NOTHING, [_POINTER])
    function = ir.Function(outer.module, kind, name=outer.module.get_unique_name(f"{outer.function.name}.team"))
    function.linkage = "internal"
    builder = ir.IRBuilder(function.append_basic_block())
    packed = builder.load(builder.bitcast(function.args[0], make_pointer_type(ir.LiteralStructType(members))))
    arguments, parts, number, size = cgutils.unpack_tuple(builder, packed, 4)
    getter = make_pointer_type(ir.FunctionType(_INT, []))
    number, size = (builder.sext(builder.call(builder.inttoptr(f, getter), []), _LONG) for f in (number, size))
    with cgutils.for_range_slice(builder, number, parts, size, intp=_LONG) as (part, _):
        call(builder, part, parts, arguments)
    builder.ret_void()
    return function


@inner_njit(forceinline=True)
def split_range(count, part, parts):
    """Returns the range [first, last) of a part of `count` items."""
    return count * part // parts, count * (part + 1) // parts
